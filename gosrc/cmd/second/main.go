// Command second is another Go library in the process: the tests load it beside libpyctd, Go runtime and all.
package main

import "C"

import (
	"runtime"
	"sync"
)

func main() {}

// second_work keeps its Go runtime busy: goroutines, garbage and its collection. It answers n(n+1)/2.
//
//export second_work
func second_work(n C.long) C.long {
	var group sync.WaitGroup
	parts := make(chan C.long, n)
	for i := range n {
		group.Go(func() {
			garbage := make([]byte, 64<<10)
			garbage[i] = 1
			parts <- i + C.long(garbage[i])
		})
	}
	group.Wait()
	close(parts)
	runtime.GC()
	var sum C.long
	for part := range parts {
		sum += part
	}
	return sum
}
