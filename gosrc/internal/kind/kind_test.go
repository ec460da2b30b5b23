package kind

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
)

// ofErrdefs has every class of errdefs, and the gRPC code that it crosses as: containerd sends it, and its client reads it.
var ofErrdefs = map[string]struct {
	err  error
	code codes.Code
	want Kind
}{
	"ErrUnknown":            {cerrdefs.ErrUnknown, codes.Unknown, Unknown},
	"ErrInvalidArgument":    {cerrdefs.ErrInvalidArgument, codes.InvalidArgument, InvalidArgument},
	"ErrNotFound":           {cerrdefs.ErrNotFound, codes.NotFound, NotFound},
	"ErrAlreadyExists":      {cerrdefs.ErrAlreadyExists, codes.AlreadyExists, AlreadyExists},
	"ErrPermissionDenied":   {cerrdefs.ErrPermissionDenied, codes.PermissionDenied, PermissionDenied},
	"ErrResourceExhausted":  {cerrdefs.ErrResourceExhausted, codes.ResourceExhausted, ResourceExhausted},
	"ErrFailedPrecondition": {cerrdefs.ErrFailedPrecondition, codes.FailedPrecondition, FailedPrecondition},
	"ErrConflict":           {cerrdefs.ErrConflict, codes.FailedPrecondition, Conflict},
	"ErrNotModified":        {cerrdefs.ErrNotModified, codes.FailedPrecondition, FailedPrecondition},
	"ErrAborted":            {cerrdefs.ErrAborted, codes.Aborted, Conflict},
	"ErrOutOfRange":         {cerrdefs.ErrOutOfRange, codes.OutOfRange, InvalidArgument},
	"ErrNotImplemented":     {cerrdefs.ErrNotImplemented, codes.Unimplemented, Unimplemented},
	"ErrInternal":           {cerrdefs.ErrInternal, codes.Internal, Internal},
	"ErrUnavailable":        {cerrdefs.ErrUnavailable, codes.Unavailable, Unavailable},
	"ErrDataLoss":           {cerrdefs.ErrDataLoss, codes.DataLoss, Internal},
	"ErrUnauthenticated":    {cerrdefs.ErrUnauthenticated, codes.Unauthenticated, PermissionDenied},
	"context.Canceled":      {context.Canceled, codes.Canceled, Canceled},
	"context.Deadline":      {context.DeadlineExceeded, codes.DeadlineExceeded, DeadlineExceeded},
}

func TestKindsOfErrdefs(t *testing.T) {
	for name, one := range ofErrdefs {
		sent := errgrpc.ToGRPC(fmt.Errorf("x: %w", one.err))
		if code := status.Code(sent); code != one.code {
			t.Errorf("%s crosses as %v, not as %v", name, code, one.code)
		}
		for how, err := range map[string]error{
			"bare": one.err, "wrapped": fmt.Errorf("x: %w", one.err), "sent": sent, "read": errgrpc.ToNative(sent),
		} {
			if got := Of(err); got != one.want {
				t.Errorf("%s, %s: got %d, want %d", name, how, got, one.want)
			}
		}
	}
}

func TestEveryClassOfErrdefsHasAKind(t *testing.T) {
	module, err := build.Import("github.com/containerd/errdefs", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(module.Dir, "errors.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\t(Err\w+) += err`).FindAllSubmatch(source, -1)
	if len(found) < 16 {
		t.Fatalf("found only %d in %s", len(found), module.Dir)
	}
	for _, name := range found {
		if _, known := ofErrdefs[string(name[1])]; !known {
			t.Errorf("%s has no row", name[1])
		}
	}
}

func TestKindsOfOtherErrors(t *testing.T) {
	for want, errs := range map[Kind][]error{
		OK:               {nil},
		Unknown:          {errors.New("x")},
		InvalidArgument:  {&handle.WrongTypeError{}},
		NotFound:         {status.Error(codes.NotFound, "x"), fmt.Errorf("x: %w", status.Error(codes.NotFound, "x"))},
		PermissionDenied: {os.ErrPermission, &os.PathError{Err: os.ErrPermission}},
		Closed:           {handle.ErrClosed, ErrClosed},
		Callback:         {fmt.Errorf("x: %w", ErrCallback)},
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
