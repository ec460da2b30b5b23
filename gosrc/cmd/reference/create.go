package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/docker/docker/libcontainerd/shimopts"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"
)

type specsSpec = specs.Spec

type creator func(context.Context, string, *specs.Spec, string, any, ...containerd.NewContainerOpts) (libcontainerdtypes.Container, error)

func (r *runner) create(ctx context.Context, a arguments, create creator) (any, error) {
	id := or(a.ID, "c")
	if a.ID == "empty" {
		id = ""
	}
	spec, err := r.spec(id, a)
	if err != nil {
		return nil, err
	}
	shim := or(a.Shim, plugins.RuntimeRuncV2)
	options, err := runtimeOptions(shim, a.RuntimeOptions)
	if err != nil {
		return nil, err
	}
	if err := r.setAlways(ctx, id, spec, options); err != nil {
		return nil, err
	}
	opts, err := r.containerOpts(ctx, a.Opts)
	if err != nil {
		return nil, err
	}
	c, err := create(ctx, id, spec, shim, options, opts...)
	if err != nil {
		return nil, err
	}
	r.keep(or(a.As, id), c)
	return nil, nil
}

// document is the base spec with a patch and the arguments' short forms merged into it.
func (r *runner) document(a arguments, id string, patch any) (map[string]any, error) {
	data, err := os.ReadFile(r.place.Base)
	if err != nil {
		return nil, err
	}
	values := r.place.values()
	values["id"] = id
	var base any
	if err := yaml.Unmarshal([]byte(expand(string(data), values)), &base); err != nil {
		return nil, err
	}
	short := map[string]any{}
	if a.Args != nil {
		short["args"] = a.Args
	}
	if a.Env != nil {
		short["env"] = a.Env
	}
	if a.Terminal {
		short["terminal"] = true
	}
	whole, _ := merge(merge(base, map[string]any{"process": short}), patch).(map[string]any)
	return whole, nil
}

func patchOf(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	var patch any
	if err := json.Unmarshal(raw, &patch); err != nil {
		return nil, mistake("%v", err)
	}
	return patch, nil
}

func convert(from, into any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return mistake("%v", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return mistake("%v", err)
	}
	return nil
}

func (r *runner) spec(id string, a arguments) (*specs.Spec, error) {
	patch, err := patchOf(a.Spec)
	if err != nil {
		return nil, err
	}
	document, err := r.document(a, id, patch)
	if err != nil {
		return nil, err
	}
	var spec specs.Spec
	return &spec, convert(document, &spec)
}

func (r *runner) processSpec(a arguments) (*specs.Process, error) {
	patch, err := patchOf(a.Spec)
	if err != nil {
		return nil, err
	}
	document, err := r.document(a, "", map[string]any{"process": patch})
	if err != nil {
		return nil, err
	}
	var process specs.Process
	return &process, convert(document["process"], &process)
}

// runtimeOptions is what dockerd makes of a runtime's options: always some for runc, others as they are given.
func runtimeOptions(shim string, raw json.RawMessage) (any, error) {
	if len(raw) == 0 && shim != plugins.RuntimeRuncV2 {
		return nil, nil
	}
	options := map[string]any{}
	if len(raw) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		if err := decoder.Decode(&options); err != nil {
			return nil, mistake("%v", err)
		}
	}
	for name, value := range options {
		if number, ok := value.(json.Number); ok {
			options[name], _ = number.Int64()
		}
	}
	return shimopts.Generate(shim, options)
}

// setAlways sets what dockerd sets for each container: runc's root, which is where pyctd has it, and the cgroup.
func (r *runner) setAlways(ctx context.Context, id string, spec *specs.Spec, options any) error {
	if runc, ok := options.(*runcoptions.Options); ok && runc.Root == "" {
		daemon, err := r.Daemon.Server(ctx)
		if err != nil {
			return err
		}
		runc.Root = filepath.Join(r.place.state(), runcRoots, daemon.UUID)
	}
	if spec.Linux != nil && spec.Linux.CgroupsPath == "" {
		spec.Linux.CgroupsPath = filepath.Join("/docker", id)
	}
	return nil
}

// containerOpts are containerd's options by pyctd's names for them.
func (r *runner) containerOpts(ctx context.Context, named []map[string]json.RawMessage) ([]containerd.NewContainerOpts, error) {
	var opts []containerd.NewContainerOpts
	for _, one := range named {
		for name, raw := range one {
			opt, err := r.containerOpt(ctx, name, raw)
			if err != nil {
				return nil, err
			}
			opts = append(opts, opt)
		}
	}
	return opts, nil
}

func (r *runner) containerOpt(ctx context.Context, name string, raw json.RawMessage) (containerd.NewContainerOpts, error) {
	var text string
	var labels map[string]string
	var value any = &text
	if name == "labels" || name == "additional_labels" {
		value = &labels
	}
	if name != "extension" {
		if err := json.Unmarshal(raw, value); err != nil {
			return nil, mistake("%s: %v", name, err)
		}
	}
	switch name {
	case "labels":
		return containerd.WithContainerLabels(labels), nil
	case "additional_labels":
		return containerd.WithAdditionalContainerLabels(labels), nil
	case "image_name":
		return containerd.WithImageName(text), nil
	case "snapshotter":
		return containerd.WithSnapshotter(text), nil
	case "snapshot":
		return containerd.WithSnapshot(text), nil
	case "sandbox":
		return containerd.WithSandbox(text), nil
	case "image":
		image, err := r.Daemon.GetImage(ctx, text)
		if err != nil {
			return nil, err
		}
		return containerd.WithImage(image), nil
	case "extension": // its type is "note", its value what is given
		return containerd.WithContainerExtension("note", &anypb.Any{TypeUrl: "note", Value: raw}), nil
	}
	return nil, mistake("there is no option %q", name)
}
