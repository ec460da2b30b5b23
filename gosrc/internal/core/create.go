package core

import (
	"context"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/docker/docker/libcontainerd"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// NewContainerRequest is NewContainer's argument; pyctd.h describes its JSON fields.
type NewContainerRequest struct {
	Replace                    bool
	ID, Shim                   string
	Spec, RuntimeOptions, Opts []byte
}

// newContainer is a request with its JSON parsed.
type newContainer struct {
	NewContainerRequest
	spec           *specs.Spec
	runtimeOptions any
	opts           []containerd.NewContainerOpts
}

func (r NewContainerRequest) parse(ctx context.Context, daemon *containerd.Client) (_ newContainer, err error) {
	parsed := newContainer{NewContainerRequest: r}
	if parsed.spec, err = parseSpec(r.Spec); err != nil {
		return parsed, err
	}
	if parsed.runtimeOptions, err = parseRuntimeOptions(r.Shim, r.RuntimeOptions); err != nil {
		return parsed, err
	}
	parsed.opts, err = parseContainerOpts(ctx, daemon, r.Opts)
	return parsed, err
}

// NewContainer is Client.NewContainer, or libcontainerd.ReplaceContainer.
func (c *Core) NewContainer(ctx context.Context, h uint64, request NewContainerRequest) (Result, error) {
	cl, err := c.client(h)
	if err != nil {
		return Result{}, err
	}
	if err := identifiers.Validate(request.ID); err != nil {
		return Result{}, cl.refuseContainer(ctx, request.ID, err)
	}
	parsed, err := request.parse(ctx, cl.daemon)
	if err != nil {
		return Result{}, err
	}
	if err := cl.setApart(ctx, parsed); err != nil {
		return Result{}, err
	}
	replaced := func() {}
	if request.Replace {
		if err := cl.undone(ctx, processName{request.ID, request.ID}); err != nil {
			return Result{}, err
		}
		replaced = cl.deleting(request.ID)
	}
	ctr, err := cl.create(ctx, parsed)
	if err != nil {
		return Result{}, err
	}
	replaced()
	return Result{Value: c.handles.Put(ctr)}, nil
}

// create makes a container and its bundle, and removes the bundle if containerd refuses the container.
func (cl *Client) create(ctx context.Context, r newContainer) (*Container, error) {
	leave, err := cl.enterBundle(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	defer leave()
	bundle := newBundle(cl.bundlePath(r.ID))
	if err := checkNewBundle(bundle.path, r.spec); err != nil {
		return nil, err
	}
	of := bundleOf{id: r.ID, strict: r.Replace}
	ctx = withBundle(ctx, &of)
	var ctr libcontainerdtypes.Container
	if r.Replace {
		ctr, err = libcontainerd.ReplaceContainer(ctx, cl.moby, r.ID, r.spec, r.Shim, r.runtimeOptions, r.opts...)
	} else {
		ctr, err = cl.moby.NewContainer(ctx, r.ID, r.spec, r.Shim, r.runtimeOptions, r.opts...)
	}
	if err != nil {
		if of.refused != nil {
			return nil, of.refused
		}
		if k := kind.Of(err); k == kind.InvalidArgument || k == kind.ResourceExhausted { // a message that is too long
			bundle.remove()
		}
		return nil, err
	}
	_, exits := r.runtimeOptions.(*runcoptions.Options)
	return &Container{client: cl, id: r.ID, moby: ctr, bundle: of.path, exits: exits}, nil
}
