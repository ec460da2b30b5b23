package core

import (
	"bufio"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/containerd/log"
)

// containerdOutput turns the output of the supervisor's daemons into log records. The supervisor gives them this process's
// os.Stdout and os.Stderr, which in a library belong to the host program.
type containerdOutput struct {
	mu   sync.Mutex
	line string
	// host keeps the originals alive: their finalizers would close the host program's descriptors 1 and 2.
	host []*os.File
}

// longestLine limits how much of a line is logged; when asked to, containerd prints all its stacks in one.
const longestLine = 1 << 16

// capture takes the output over, once, and forgets earlier daemons' last line.
func (o *containerdOutput) capture() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line = ""
	if o.host != nil {
		return nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	o.host = []*os.File{os.Stdout, os.Stderr}
	os.Stdout, os.Stderr = writer, writer
	spawn(func() { o.carry(reader) })
	return nil
}

// carry logs lines forever: if nobody read them, the daemons would block on the next one.
func (o *containerdOutput) carry(from io.Reader) {
	lines := bufio.NewReaderSize(from, longestLine)
	for {
		line, longer, err := lines.ReadLine()
		if err != nil {
			return
		}
		text := string(line)
		for longer && err == nil {
			_, longer, err = lines.ReadLine()
		}
		o.mu.Lock()
		o.line = text
		o.mu.Unlock()
		log.L.WithField("module", "containerd").Info(text)
	}
}

func (o *containerdOutput) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.line)
}
