package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
)

func TestKindsOfErrors(t *testing.T) {
	for want, errs := range map[Kind][]error{
		OK:                 {nil},
		Unknown:            {errors.New("x"), cerrdefs.ErrUnknown},
		InvalidArgument:    {cerrdefs.ErrInvalidArgument, &handle.WrongTypeError{}},
		NotFound:           {cerrdefs.ErrNotFound, status.Error(codes.NotFound, "x")},
		AlreadyExists:      {cerrdefs.ErrAlreadyExists},
		PermissionDenied:   {cerrdefs.ErrPermissionDenied, os.ErrPermission},
		FailedPrecondition: {fmt.Errorf("x: %w", cerrdefs.ErrFailedPrecondition)},
		Conflict:           {cerrdefs.ErrConflict},
		Unavailable:        {cerrdefs.ErrUnavailable, status.Error(codes.Unavailable, "x")},
		DeadlineExceeded:   {context.DeadlineExceeded, status.Error(codes.DeadlineExceeded, "x")},
		Canceled:           {context.Canceled, status.Error(codes.Canceled, "x")},
		Unimplemented:      {cerrdefs.ErrNotImplemented},
		Internal:           {cerrdefs.ErrInternal},
		Closed:             {handle.ErrClosed, ErrClosed},
		Callback:           {fmt.Errorf("x: %w", ErrCallback)},
	} {
		for _, err := range errs {
			if got := Of(err); got != want {
				t.Errorf("%v: got %d, want %d", err, got, want)
			}
		}
	}
}

func TestKindsAreTheHeaders(t *testing.T) {
	header, err := os.ReadFile("../../pyctd.h")
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]Kind{
		"OK": OK, "UNKNOWN": Unknown, "INVALID_ARGUMENT": InvalidArgument, "NOT_FOUND": NotFound,
		"ALREADY_EXISTS": AlreadyExists, "PERMISSION_DENIED": PermissionDenied, "RESOURCE_EXHAUSTED": ResourceExhausted,
		"FAILED_PRECONDITION": FailedPrecondition, "CONFLICT": Conflict, "UNAVAILABLE": Unavailable,
		"DEADLINE_EXCEEDED": DeadlineExceeded, "CANCELED": Canceled, "UNIMPLEMENTED": Unimplemented,
		"INTERNAL": Internal, "CLOSED": Closed, "CALLBACK": Callback,
	} {
		found := regexp.MustCompile(`PYCTD_` + name + ` = (\d+)`).FindSubmatch(header)
		if found == nil {
			t.Errorf("%s is not in the header", name)
		} else if value, _ := strconv.Atoi(string(found[1])); Kind(value) != kind {
			t.Errorf("%s: %d in the header, %d here", name, value, kind)
		}
	}
}
