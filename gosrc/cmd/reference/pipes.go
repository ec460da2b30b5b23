package main

import (
	"context"
	"encoding/json"
	"io"
)

func write(_ context.Context, p *proc, a arguments) (any, error) {
	if p.streams == nil || p.streams.dio == nil || p.streams.dio.Stdin == nil {
		return nil, mistake("%q has no stdin", a.Of)
	}
	_, err := io.WriteString(p.streams.dio.Stdin, a.Data)
	return nil, err
}

func closeStream(_ context.Context, p *proc, a arguments) (any, error) {
	var pipe io.Closer
	switch or(a.Stream, "stdin") {
	case "stdin":
		pipe = p.streams.dio.Stdin
	case "stdout":
		pipe = p.streams.dio.Stdout
	case "stderr":
		pipe = p.streams.dio.Stderr
	}
	return nil, pipe.Close()
}

// read waits until a stream has brought a text, and prints what it has brought.
func read(_ context.Context, p *proc, a arguments) (any, error) {
	var text string
	if err := json.Unmarshal(a.Until, &text); err != nil {
		return nil, mistake("%v", err)
	}
	name := or(a.Stream, "stdout")
	if err := p.streams.until(name, text); err != nil {
		return nil, mistake("%v", err)
	}
	return p.streams.print()[name], nil
}

// output prints what an ended process has written, once its streams have ended.
func output(_ context.Context, p *proc, _ arguments) (any, error) {
	p.streams.drain(patience)
	return p.streams.print(), nil
}
