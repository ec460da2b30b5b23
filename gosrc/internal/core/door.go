package core

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// abreast is how many short handlers run at once. More threads would only contend for the other side's lock.
	abreast = 8
	// stall is how long the first in line waits for a handler to return.
	stall = time.Millisecond
	// crowd is how many handlers may be inside before the first in line waits for crowded.
	crowd = 64
	// crowded lets handlers that wait for one another all begin, but spreads a crowd of them out: each takes a thread, and Go
	// ends the process if it can't get one.
	crowded = 200 * time.Millisecond
)

// A door limits how many handlers run at once. Blocked handlers keep nobody out: the first in line waits only so long for a
// place, and then goes in regardless.
type door struct {
	places chan struct{} // the free ones, never more than abreast
	line   sync.Mutex    // held by the first in line
	inside atomic.Int32
}

func newDoor() *door {
	d := &door{places: make(chan struct{}, abreast)}
	for range abreast {
		d.places <- struct{}{}
	}
	return d
}

// enter waits for a place.
func (d *door) enter() {
	d.line.Lock()
	defer d.line.Unlock()
	defer d.inside.Add(1)
	select {
	case <-d.places:
		return
	default:
	}
	patience := stall
	if d.inside.Load() >= crowd {
		patience = crowded
	}
	select {
	case <-d.places:
	case <-time.After(patience):
	}
}

// leave gives a place back.
func (d *door) leave() {
	d.inside.Add(-1)
	select {
	case d.places <- struct{}{}:
	default:
		// There are enough places, so Go has a thread too many, which it would keep for good. A thread ends with a goroutine
		// that is locked to it. The event's own goroutine may first wait for an acknowledgement.
		spawn(runtime.LockOSThread)
	}
}
