// Command bench is the Go side of pyctd's benchmarks: the same work as benchmarks/bench/worker.py does through pyctd, by
// libcontainerd itself, and what both sides need and Python can't make fast enough.
//
// Usage:
//
//	bench serve    reads requests from stdin and prints what each took: JSON, an object a line
//	bench events   serves containerd's events to both sides, faster than containerd could
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/containerd/log"
)

func main() {
	log.L.Logger.SetOutput(io.Discard)
	var err error
	switch word := append(os.Args, "")[1]; word {
	case "serve":
		err = serve(os.Stdin)
	case "events":
		flags := flag.NewFlagSet("bench events", flag.ExitOnError)
		socket := flags.String("socket", "", "where to serve")
		containers := flags.Int("containers", 1000, "how many containers the events are of")
		_ = flags.Parse(os.Args[2:])
		go func() { // it ends with whoever holds the other end of stdin
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
		err = serveEvents(*socket, *containers)
	default:
		err = fmt.Errorf("usage: bench serve | bench events, not %q", word)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// setup is the first line of stdin: where everything is.
type setup struct {
	Address   string `json:"address"`
	Namespace string `json:"namespace"`
	State     string `json:"state"`
	Spec      string `json:"spec"`   // an OCI spec's file; each container's arguments replace its own
	Events    string `json:"events"` // the socket of bench events
}

// request is any other line.
type request struct {
	Workload string `json:"workload"`
	Count    int    `json:"count"`
	Mode     string `json:"mode"` // of streams: which ready callback of pyctd's the Go code is the counterpart of
}

// answer is what came of it: nanoseconds.
type answer struct {
	Samples []int64 `json:"samples,omitempty"`
	Error   string  `json:"error,omitempty"`
}

func serve(in io.Reader) error {
	// Descriptor 1 is a stream that is measured; the answers have one of their own.
	out, err := takeStdout()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	encoder := json.NewEncoder(out)
	var s setup
	if !lines.Scan() {
		return lines.Err()
	}
	if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
		return err
	}
	b, err := newBench(s)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := encoder.Encode(answer{}); err != nil {
		return err
	}
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		var a answer
		if a.Samples, err = b.run(r); err != nil {
			a.Error = err.Error()
		}
		if err := encoder.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}
