package core

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// libcontainerd names a directory or FIFOs after an id before containerd validates the id, so an invalid one may lead anywhere.
// Such an id goes to containerd alone: it refuses in its own words, and nothing has been made.

// refuseContainer returns containerd's refusal of a container's id, or why if containerd accepts the id after all.
func (cl *Client) refuseContainer(ctx context.Context, id string, why error) error {
	made, err := cl.daemon.NewContainer(ctx, id)
	if err != nil {
		return err
	}
	return errors.Join(why, made.Delete(ctx))
}

// refuseExec does the same for an exec's id.
func (ctr *Container) refuseExec(ctx context.Context, id string, process *specs.Process, why error) error {
	loaded, err := ctr.client.daemon.LoadContainer(ctx, ctr.id)
	if err != nil {
		return err
	}
	task, err := loaded.Task(ctx, nil)
	if err != nil {
		return err
	}
	made, err := task.Exec(ctx, id, process, cio.NullIO)
	if err != nil {
		return err
	}
	_, err = made.Delete(ctx)
	return errors.Join(why, err)
}

// checkDirectory refuses a relative directory, which would depend on the current working directory.
func checkDirectory(what, path string) error {
	if !filepath.IsAbs(path) {
		return invalid(fmt.Errorf("the %s directory must be an absolute path, not %q", what, path))
	}
	return nil
}
