package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// closeClient ends the client; what it has attached is not looked at any more.
func (r *runner) closeClient(context.Context, arguments) (any, error) {
	r.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attached = map[string]*streams{}
	return nil, nil
}

func killShim(_ context.Context, p *proc, _ arguments) (any, error) {
	shim, err := parentOf(p.Pid())
	if err != nil {
		return nil, mistake("%v", err)
	}
	return nil, syscall.Kill(shim, syscall.SIGKILL)
}

func writeFile(_ *runner, _ context.Context, a arguments) (any, error) {
	mode := os.FileMode(0o644)
	if a.Mode != "" {
		if _, err := fmt.Sscanf(a.Mode, "%o", &mode); err != nil {
			return nil, mistake("mode %q", a.Mode)
		}
	}
	if err := os.WriteFile(a.Path, []byte(a.Data), mode); err != nil {
		return nil, err
	}
	return nil, os.Chmod(a.Path, mode)
}

// chattr changes an attribute of a file, such as +i: not even root may write to it.
func chattr(_ *runner, _ context.Context, a arguments) (any, error) {
	if out, err := exec.Command("chattr", a.Mode, a.Path).CombinedOutput(); err != nil {
		return nil, mistake("%v: %s", err, out)
	}
	return nil, nil
}

// list prints a directory's names.
func list(_ *runner, _ context.Context, a arguments) (any, error) {
	names, err := filepath.Glob(filepath.Join(a.Path, "*"))
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	slices.Sort(names)
	return append([]string{}, names...), err
}
