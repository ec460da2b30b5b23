package core

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/docker/docker/libcontainerd/shimopts"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// parseObject decodes a JSON object and refuses anything else: null, a list, or trailing text.
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

// parseRuntimeOptions converts a runtime's options as dockerd does, with shimopts.Generate. That ignores unknown names; this
// refuses them.
func parseRuntimeOptions(shim string, data []byte) (any, error) {
	known, always := reflect.TypeFor[runtimeoptions.Options](), false
	if shim == plugins.RuntimeRuncV2 {
		// dockerd always gives runc's shim its options: without them CreateCheckpoint would ignore exit.
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
