package core

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
)

// givenOpt is an option as the caller gives it.
type givenOpt struct {
	Name  string
	Value json.RawMessage
}

// invalid adds the option's name to an error.
func (given givenOpt) invalid(err error) error {
	return invalid(fmt.Errorf("option %q: %w", given.Name, err))
}

// containerOpt turns a given option into containerd's.
type containerOpt func(ctx context.Context, daemon *containerd.Client, given givenOpt) (containerd.NewContainerOpts, error)

// The values of options that are JSON objects. parseOption takes the names of known fields from these.
type (
	imageValue struct {
		Image string `json:"image"`
	}
	stopSignalValue struct {
		Image   string `json:"image"`
		Default string `json:"default"`
	}
	newSnapshotValue struct {
		ID          string                 `json:"id"`
		Image       string                 `json:"image"`
		Labels      map[string]string      `json:"labels"`
		UIDMappings []specs.LinuxIDMapping `json:"uid_mappings"`
		GIDMappings []specs.LinuxIDMapping `json:"gid_mappings"`
	}
	extensionValue struct {
		Name    string `json:"name"`
		TypeURL string `json:"type_url"`
		Value   []byte `json:"value"`
	}
)

func (v imageValue) ref() string       { return v.Image }
func (v stopSignalValue) ref() string  { return v.Image }
func (v newSnapshotValue) ref() string { return v.Image }

func (v newSnapshotValue) opts() []snapshots.Opt {
	var opts []snapshots.Opt
	if len(v.Labels) > 0 {
		opts = append(opts, snapshots.WithLabels(v.Labels))
	}
	if len(v.UIDMappings)+len(v.GIDMappings) > 0 {
		opts = append(opts, containerd.WithUserNSRemapperLabels(v.UIDMappings, v.GIDMappings))
	}
	return opts
}

var containerOpts = map[string]containerOpt{
	"labels":            plain(containerd.WithContainerLabels),
	"additional_labels": plain(containerd.WithAdditionalContainerLabels),
	"image_name":        plain(containerd.WithImageName),
	"snapshotter":       plain(containerd.WithSnapshotter),
	"snapshot":          plain(containerd.WithSnapshot),
	"sandbox":           plain(containerd.WithSandbox),
	"extension": plain(func(v extensionValue) containerd.NewContainerOpts {
		// typeurl marshals only registered types, but passes an Any through unchanged.
		return containerd.WithContainerExtension(v.Name, &anypb.Any{TypeUrl: v.TypeURL, Value: v.Value})
	}),
	"image":               ofImage(func(i containerd.Image, _ imageValue) containerd.NewContainerOpts { return containerd.WithImage(i) }),
	"image_config_labels": ofImage(imageConfigLabels),
	"image_stop_signal": ofImage(func(i containerd.Image, v stopSignalValue) containerd.NewContainerOpts {
		return containerd.WithImageStopSignal(i, v.Default)
	}),
	"new_snapshot": ofImage(func(i containerd.Image, v newSnapshotValue) containerd.NewContainerOpts {
		return containerd.WithNewSnapshot(v.ID, i, v.opts()...)
	}),
	"new_snapshot_view": ofImage(func(i containerd.Image, v newSnapshotValue) containerd.NewContainerOpts {
		return containerd.WithNewSnapshotView(v.ID, i, v.opts()...)
	}),
}

func plain[T any](option func(T) containerd.NewContainerOpts) containerOpt {
	return func(_ context.Context, _ *containerd.Client, given givenOpt) (containerd.NewContainerOpts, error) {
		v, err := parseOption[T](given)
		if err != nil {
			return nil, err
		}
		return option(v), nil
	}
}

func ofImage[T interface{ ref() string }](option func(containerd.Image, T) containerd.NewContainerOpts) containerOpt {
	return func(ctx context.Context, daemon *containerd.Client, given givenOpt) (containerd.NewContainerOpts, error) {
		v, err := parseOption[T](given)
		if err != nil {
			return nil, err
		}
		image, err := daemon.GetImage(ctx, v.ref())
		if err != nil {
			return nil, err
		}
		return option(image, v), nil
	}
}

// parseOption decodes an option's value. It answers an unknown field with the known ones.
func parseOption[T any](given givenOpt) (v T, err error) {
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Struct {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(given.Value, &fields); err != nil {
			return v, given.invalid(err)
		}
		known := make([]string, t.NumField())
		for i := range known {
			known[i] = t.Field(i).Tag.Get("json")
		}
		for name := range fields {
			if !slices.Contains(known, name) {
				return v, given.invalid(fmt.Errorf("field %q is not known: there are %s", name, strings.Join(known, ", ")))
			}
		}
	}
	if err := json.Unmarshal(given.Value, &v); err != nil {
		return v, given.invalid(err)
	}
	return v, nil
}

func parseContainerOpts(ctx context.Context, daemon *containerd.Client, data []byte) ([]containerd.NewContainerOpts, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var named []givenOpt
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
		opt, err := decode(ctx, daemon, option)
		if err != nil {
			return nil, err
		}
		opts = append(opts, opt)
	}
	return opts, nil
}
