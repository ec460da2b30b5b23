// Command reference drives libcontainerd as a Go program does, without pyctd, and prints what happened: the conformance
// tests hold pyctd to it.
//
// Usage:
//
//	reference run -address SOCKET -rootfs DIR -base SPEC -work DIR -namespace PREFIX [FILE[::NAME]...]
//	reference serve
//
// run takes scenarios by their files, all of a file's or one by its name; without any it reads such words from stdin, a
// line each. It prints JSON, one object a line: a head for each scenario, an object for each step, an end.
//
// serve answers what a side of the conformance tests asks about a daemon and its disk; see serve.go.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/log"
)

func main() {
	log.L.Logger.SetOutput(io.Discard)
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "run":
			os.Exit(run(os.Args[2:]))
		case "serve":
			serve(os.Stdin, os.Stdout)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: reference run [flags] [FILE[::NAME]...] | reference serve")
	os.Exit(2)
}

func run(args []string) int {
	flags := flag.NewFlagSet("reference run", flag.ExitOnError)
	address := flags.String("address", "/run/containerd/containerd.sock", "containerd's socket")
	rootfs := flags.String("rootfs", "", "the containers' root file system, with a busybox")
	base := flags.String("base", "", "the spec that the scenarios' specs are merged into")
	work := flags.String("work", "", "a directory for bundles, one a scenario")
	namespace := flags.String("namespace", "go", "the prefix of the namespaces, one a scenario")
	_ = flags.Parse(args)

	out := newPrinter(os.Stdout)
	number := 0
	one := func(word string) error {
		file, name, _ := strings.Cut(word, "::")
		scenarios, err := load(file)
		if err != nil {
			return err
		}
		for _, scenario := range scenarios {
			if name != "" && scenario.Name != name {
				continue
			}
			number++
			place := place{
				Address: *address, Rootfs: *rootfs, Base: *base,
				Dir:       filepath.Join(*work, fmt.Sprint(number)),
				Namespace: fmt.Sprintf("%s-%03d", *namespace, number),
			}
			if err := newRunner(place, scenario, out).run(context.Background()); err != nil {
				return fmt.Errorf("%s: %w", word, err)
			}
		}
		return nil
	}
	words := make(chan string)
	go func() {
		defer close(words)
		for _, word := range flags.Args() {
			words <- word
		}
		if flags.NArg() == 0 {
			for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
				words <- lines.Text()
			}
		}
	}()
	for word := range words {
		if err := one(word); err != nil {
			fmt.Fprintln(os.Stderr, "reference:", err)
			return 1
		}
	}
	return 0
}

// object is a JSON object; its names are printed in order.
type object map[string]any

type printer struct{ *json.Encoder }

func newPrinter(out io.Writer) printer {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return printer{encoder}
}
