package core

import (
	"errors"
	"fmt"
	"testing"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// Where no task is at hand, libcontainerd reads the kind from the runtime's words.
func TestErrorsOfALoadedExecHaveLibcontainerdsKinds(t *testing.T) {
	for text, want := range map[string]kind.Kind{
		"runc did not terminate successfully: container does not exist": kind.NotFound,
		"process 7 not found":     kind.NotFound,
		"no such container: web":  kind.NotFound,
		"OCI runtime exec failed": kind.Unknown,
	} {
		if err := wrapError(errors.New(text)); kind.Of(err) != want || err.Error() != text {
			t.Errorf("%q became %v of kind %d", text, err, kind.Of(err))
		}
	}
	if err := wrapError(fmt.Errorf("e: %w", cerrdefs.ErrFailedPrecondition)); kind.Of(err) != kind.FailedPrecondition {
		t.Errorf("a kind was lost: %v", err)
	}
	if wrapError(nil) != nil {
		t.Error("nil became an error")
	}
}
