package core

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/docker/docker/libcontainerd/shimopts"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
)

// parseObject decodes a JSON object and nothing else: null, a list or trailing text is the caller's mistake.
func parseObject(what string, data []byte, into any) error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' {
		return invalid(fmt.Errorf("%s must be a JSON object", what))
	}
	if err := json.Unmarshal(data, into); err != nil {
		return invalid(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// parseSpec decodes a spec and checks the parts that libcontainerd dereferences.
func parseSpec(data []byte) (*specs.Spec, error) {
	var spec specs.Spec
	if err := parseObject("spec", data, &spec); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name    string
		missing bool
	}{{"root", spec.Root == nil}, {"process", spec.Process == nil}, {"linux", spec.Linux == nil}} {
		if part.missing {
			return nil, invalid(fmt.Errorf("spec has no %q: libcontainerd needs its root, process and linux", part.name))
		}
	}
	return &spec, nil
}

// parseRuntimeOptions makes what dockerd makes of a runtime's options, with shimopts.Generate. That ignores names it
// does not know; we do not.
func parseRuntimeOptions(shim string, data []byte) (any, error) {
	known, always := reflect.TypeFor[runtimeoptions.Options](), false
	if shim == plugins.RuntimeRuncV2 {
		// dockerd gives runc's shim its options always: without them CreateCheckpoint would ignore exit.
		known, always = reflect.TypeFor[runcoptions.Options](), true
	}
	if len(data) == 0 && !always {
		return nil, nil
	}
	options := map[string]any{}
	if len(data) > 0 {
		if err := parseObject("runtime_options", data, &struct{}{}); err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&options); err != nil {
			return nil, invalid(fmt.Errorf("runtime_options: %w", err))
		}
	}
	var names []string
	for _, field := range reflect.VisibleFields(known) {
		if field.IsExported() {
			names = append(names, field.Name)
		}
	}
	for name, value := range options {
		if !slices.ContainsFunc(names, func(known string) bool { return strings.EqualFold(known, name) }) {
			return nil, invalid(fmt.Errorf("runtime option %q is not known to %s: it has %s", name, shim, strings.Join(names, ", ")))
		}
		if number, ok := value.(json.Number); ok {
			whole, err := number.Int64()
			if err != nil {
				return nil, invalid(fmt.Errorf("runtime option %q must be a whole number: %s", name, number))
			}
			options[name] = whole
		}
	}
	generated, err := shimopts.Generate(shim, options)
	if err != nil {
		return nil, invalid(fmt.Errorf("runtime_options: %w", err))
	}
	return generated, nil
}

// containerOpt decodes one option's value into containerd's option.
type containerOpt func(ctx context.Context, daemon *containerd.Client, value json.RawMessage) (containerd.NewContainerOpts, error)

type imageValue struct{ Image, ID, Default string }

func decoded[T any](option func(T) containerd.NewContainerOpts) containerOpt {
	return func(_ context.Context, _ *containerd.Client, value json.RawMessage) (containerd.NewContainerOpts, error) {
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return nil, invalid(err)
		}
		return option(v), nil
	}
}

func ofImage(option func(containerd.Image, imageValue) containerd.NewContainerOpts) containerOpt {
	return func(ctx context.Context, daemon *containerd.Client, value json.RawMessage) (containerd.NewContainerOpts, error) {
		var v imageValue
		if err := json.Unmarshal(value, &v); err != nil {
			return nil, invalid(err)
		}
		image, err := daemon.GetImage(ctx, v.Image)
		if err != nil {
			return nil, err
		}
		return option(image, v), nil
	}
}

var containerOpts = map[string]containerOpt{
	"labels":            decoded(containerd.WithContainerLabels),
	"additional_labels": decoded(containerd.WithAdditionalContainerLabels),
	"image_name":        decoded(containerd.WithImageName),
	"snapshotter":       decoded(containerd.WithSnapshotter),
	"snapshot":          decoded(containerd.WithSnapshot),
	"sandbox":           decoded(containerd.WithSandbox),
	"extension": decoded(func(v struct {
		Name  string
		Value json.RawMessage
	}) containerd.NewContainerOpts {
		// typeurl takes only registered types, but anything that is an Any already as it stands.
		return containerd.WithContainerExtension(v.Name, &anypb.Any{TypeUrl: v.Name, Value: v.Value})
	}),
	"image": ofImage(func(i containerd.Image, _ imageValue) containerd.NewContainerOpts { return containerd.WithImage(i) }),
	"image_stop_signal": ofImage(func(i containerd.Image, v imageValue) containerd.NewContainerOpts {
		return containerd.WithImageStopSignal(i, v.Default)
	}),
	"new_snapshot": ofImage(func(i containerd.Image, v imageValue) containerd.NewContainerOpts {
		return containerd.WithNewSnapshot(v.ID, i)
	}),
	"new_snapshot_view": ofImage(func(i containerd.Image, v imageValue) containerd.NewContainerOpts {
		return containerd.WithNewSnapshotView(v.ID, i)
	}),
}

func parseContainerOpts(ctx context.Context, daemon *containerd.Client, data []byte) ([]containerd.NewContainerOpts, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var named []struct {
		Name  string
		Value json.RawMessage
	}
	if err := json.Unmarshal(data, &named); err != nil {
		return nil, invalid(fmt.Errorf("opts: %w", err))
	}
	opts := make([]containerd.NewContainerOpts, 0, len(named))
	for _, option := range named {
		decode, ok := containerOpts[option.Name]
		if !ok {
			known := slices.Sorted(maps.Keys(containerOpts))
			return nil, invalid(fmt.Errorf("option %q is not known: there are %s", option.Name, strings.Join(known, ", ")))
		}
		opt, err := decode(ctx, daemon, option.Value)
		if err != nil {
			return nil, fmt.Errorf("option %q: %w", option.Name, err)
		}
		opts = append(opts, opt)
	}
	return opts, nil
}
