//go:build profile

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// In a library built with the tag "profile", each SIGUSR2 starts or stops a CPU profile of Go, in the file that PYCTD_PROFILE
// names. benchmarks/bench/profile.py uses it.
func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	go func() {
		for range signals {
			profile()
			<-signals
			pprof.StopCPUProfile()
		}
	}()
}

func profile() {
	file, err := os.Create(os.Getenv("PYCTD_PROFILE"))
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pyctd: no profile:", err)
	}
}
