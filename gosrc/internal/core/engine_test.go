package core

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"
)

func TestALongLineOfContainerdIsCutAndTheNextIsRead(t *testing.T) {
	reader, writer := io.Pipe()
	var output containerdOutput
	done := make(chan struct{})
	go func() {
		defer close(done)
		output.carry(reader)
	}()
	for _, part := range [][]byte{bytes.Repeat([]byte("x"), 3<<20), []byte("\nthe next\n")} {
		if _, err := writer.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	_ = writer.Close()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it is not read to its end")
	}
	if last := output.last(); last != "the next" {
		t.Fatalf("the last line is %.20q", last)
	}
}

func TestTheOutputOfEarlierDaemonsIsForgotten(t *testing.T) {
	output := containerdOutput{host: []*os.File{os.Stdout}, line: "no, not today"}
	if err := output.capture(); err != nil || output.last() != "" {
		t.Fatalf("got %q, %v", output.last(), err)
	}
}
