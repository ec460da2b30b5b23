package core

import (
	"context"
	"sync"
)

// gates let a limited number of operations, by default one, through at a time for each key. The zero value is ready for use.
type gates struct {
	width int // 0 means one
	mu    sync.Mutex
	gates map[string]*gate
}

type gate struct {
	users int           // inside or waiting
	token chan struct{} // one for each operation that may still enter
}

// enter waits until there is room inside, or ctx ends. The caller calls leave when it is done.
func (g *gates) enter(ctx context.Context, key string) (leave func(), err error) {
	g.mu.Lock()
	at := g.gates[key]
	if at == nil {
		width := max(g.width, 1)
		at = &gate{token: make(chan struct{}, width)}
		for range width {
			at.token <- struct{}{}
		}
		if g.gates == nil {
			g.gates = map[string]*gate{}
		}
		g.gates[key] = at
	}
	at.users++
	g.mu.Unlock()
	forget := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if at.users--; at.users == 0 {
			delete(g.gates, key)
		}
	}
	if _, err := receive(ctx, at.token); err != nil {
		forget()
		return nil, err
	}
	return func() { at.token <- struct{}{}; forget() }, nil
}
