package core

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// answers is a container of libcontainerd's whose Delete answers with one error after another: a real containerd loses no
// answer when it is asked to.
type answers struct {
	libcontainerdtypes.Container
	errs []error
}

func (a *answers) Delete(context.Context) error {
	err := a.errs[0]
	a.errs = a.errs[1:]
	return err
}

func TestTheBundleGoesWithADeleteWhoseAnswerWasLost(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "a")
	if err := os.Mkdir(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	moby := &answers{errs: []error{cerrdefs.ErrNotFound, cerrdefs.ErrUnavailable, cerrdefs.ErrNotFound}}
	ctr := &Container{id: "a", moby: moby, bundle: bundle}
	for try, there := range []bool{true, true, false} {
		if err := ctr.delete(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if _, err := os.Stat(bundle); (err == nil) != there {
			t.Fatalf("after try %d: %v", try, err)
		}
	}
}
