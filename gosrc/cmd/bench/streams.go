package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/cio"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"golang.org/x/sys/unix"
)

// takeStdout moves stdout to another descriptor and leaves /dev/null in its place.
func takeStdout() (*os.File, error) {
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	null, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Dup2(null, 1); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "answers"), unix.Close(null)
}

// pumps is the cio.IO of a process whose streams are copied by io.Copy.
type pumps struct {
	*cio.DirectIO
	running sync.WaitGroup
}

func (p *pumps) Wait() { p.running.Wait() }

// orNone runs a process without streams where there is no callback.
func orNone(stdio libcontainerdtypes.StdioCallback) libcontainerdtypes.StdioCallback {
	if stdio != nil {
		return stdio
	}
	return func(dio *cio.DirectIO) (cio.IO, error) {
		dio.Cancel()
		null, _ := cio.NullIO("")
		return null, dio.Close()
	}
}

// counterparts does with a stream what a ready callback of pyctd's does.
var counterparts = map[string]func(stdout io.Reader) error{
	"null": func(stdout io.Reader) error {
		_, err := io.Copy(io.Discard, stdout)
		return err
	},
	"capture": func(stdout io.Reader) error {
		var kept bytes.Buffer
		_, err := io.Copy(&kept, stdout)
		return err
	},
	"files": func(stdout io.Reader) error {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		_, err = io.Copy(null, stdout)
		return err
	},
	"inherit": func(stdout io.Reader) error {
		_, err := io.Copy(os.Stdout, stdout)
		return err
	},
	"lines": func(stdout io.Reader) error {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			takeLine(lines.Text())
		}
		return lines.Err()
	},
}

//go:noinline
func takeLine(string) {}

// streamArgs is the process that writes, or reads, count bytes or lines.
func streamArgs(workload string, count int) []string {
	switch workload {
	case "stdout":
		return []string{"/bin/dd", "if=/dev/zero", "bs=1M", "count=" + strconv.Itoa(count>>20)}
	case "stdin":
		return []string{"/bin/dd", "of=/dev/null", "bs=1M"}
	}
	return []string{"/bin/seq", strconv.Itoa(count)}
}

// copying is a StdioCallback that copies the streams by io.Copy.
func copying(mode string, source io.Reader) libcontainerdtypes.StdioCallback {
	return func(dio *cio.DirectIO) (cio.IO, error) {
		p := &pumps{DirectIO: dio}
		p.running.Go(func() { _ = counterparts[mode](dio.Stdout) })
		p.running.Go(func() { _, _ = io.Copy(io.Discard, dio.Stderr) })
		if source != nil {
			p.running.Go(func() {
				_, _ = io.Copy(dio.Stdin, source)
				_ = dio.Stdin.Close()
			})
		}
		return p, nil
	}
}

// stream takes the time of a process that writes, or reads, count bytes or lines.
func (b *bench) stream(r request) ([]int64, error) {
	if counterparts[r.Mode] == nil {
		return nil, fmt.Errorf("there is no counterpart of %q", r.Mode)
	}
	source, end, err := stdinOf(r)
	if err != nil {
		return nil, err
	}
	defer end()
	return each(1, func() error {
		return b.lifecycle(source != nil, copying(r.Mode, source), streamArgs(r.Workload, r.Count)...)
	})
}

// stdinOf is what a process is to read: bytes in memory for capture, a file's for the others.
func stdinOf(r request) (io.Reader, func(), error) {
	if r.Workload != "stdin" {
		return nil, func() {}, nil
	}
	if r.Mode == "capture" {
		return bytes.NewReader(make([]byte, r.Count)), func() {}, nil
	}
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(fd), "stdin")
	end := func() { _ = file.Close() }
	if err := syscall.Ftruncate(fd, int64(r.Count)); err != nil {
		end()
		return nil, nil, err
	}
	return file, end, nil
}
