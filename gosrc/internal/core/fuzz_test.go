package core

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	cerrdefs "github.com/containerd/errdefs"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// What comes as bytes from the other side of the boundary, whatever it is, is either taken or refused as the caller's
// mistake. `make fuzz` looks for more than these seeds.

var seeds = []string{
	"", " ", "null", "7", "{", "{}", "[]", "[null]", `{"":{}}`, `"\ud800"`, "\xff\xfe", "\x00", "1e999", `{} {}`,
	`{"root":{"path":"/"},"process":{"args":["a"],"env":["A=b"]},"linux":{"uidMappings":[{"hostID":4294967295,"size":4294967295}]}}`,
	`{"root":null,"process":{},"linux":{}}`, `{"process":{"user":{"uid":-1}}}`, `{"pids":{"limit":9223372036854775808}}`,
	`{"binaryname":"a"}`, `{"BinaryName":"a","SystemdCgroup":1}`, `{"IoUid":-1}`, `{"Root":1.5}`, `{"TypeUrl":"a","ConfigBody":"AA=="}`,
	`[{"name":"labels","value":{"a":"b"}}]`, `[{"name":"labels","value":null}]`, `[{"name":"extension","value":{"name":"a","value":"YQ=="}}]`,
	`[{"name":"sandbox","value":{}}]`, `[{"name":"none"}]`, `[{"Name":"snapshot","Value":"a"}]`,
	strings.Repeat("[", 20000), strings.Repeat(`{"a":`, 20000), `{"memory":{"limit":-1},"unified":{"../a":"b"}}`,
}

func addSeeds(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
}

// checkRefusal fails for an error that blames anybody but the caller, or whose text is endless.
func checkRefusal(t *testing.T, data []byte, err error) {
	t.Helper()
	if err != nil && kind.Of(err) != kind.InvalidArgument {
		t.Fatalf("kind %d: %v", kind.Of(err), err)
	}
	if err != nil && len(err.Error()) > 1000+2*len(data) {
		t.Fatalf("a text of %d bytes for %d", len(err.Error()), len(data))
	}
}

func FuzzSpec(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := parseSpec(data)
		checkRefusal(t, data, err)
		if err != nil {
			return
		}
		if spec.Root == nil || spec.Process == nil || spec.Linux == nil {
			t.Fatal("libcontainerd would dereference nil")
		}
		if _, err := json.Marshal(spec); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzRuntimeOptions(f *testing.F) {
	for _, seed := range seeds {
		f.Add("io.containerd.runc.v2", []byte(seed))
		f.Add("io.containerd.other.v1", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, shim string, data []byte) {
		_, err := parseRuntimeOptions(shim, data)
		if err != nil && kind.Of(err) != kind.InvalidArgument {
			t.Fatalf("kind %d: %v", kind.Of(err), err)
		}
	})
}

// imagesOf is a containerd that has the images whose names are as long as an even number, and only those.
type imagesOf struct{ images.Store }

func (imagesOf) Get(_ context.Context, name string) (images.Image, error) {
	if len(name)%2 == 1 {
		return images.Image{}, cerrdefs.ErrNotFound
	}
	return images.Image{Name: name}, nil
}

func FuzzContainerOpts(f *testing.F) {
	addSeeds(f)
	for _, name := range slices.Sorted(maps.Keys(containerOpts)) {
		for _, value := range []string{
			`null`, `7`, `"a"`, `{}`, `{"image":"ab"}`, `{"image":"abc"}`, `{"image":null}`, `{"image":"ab","default":"SIGTERM"}`,
			`{"id":"a","image":"ab","labels":{"a":"b"},"uid_mappings":[{"containerID":0,"hostID":1,"size":2}],"gid_mappings":[{"size":-1}]}`,
		} {
			f.Add(fmt.Appendf(nil, `[{"name":%q,"value":%s}]`, name, value))
		}
	}
	daemon, err := containerd.New("", containerd.WithServices(containerd.WithImageStore(imagesOf{})))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		opts, err := parseContainerOpts(t.Context(), daemon, data)
		if slices.ContainsFunc(opts, func(opt containerd.NewContainerOpts) bool { return opt == nil }) {
			t.Fatal("an option that is nil")
		}
		if kind.Of(err) != kind.NotFound {
			checkRefusal(t, data, err)
		}
	})
}

func FuzzFilters(f *testing.F) {
	addSeeds(f)
	f.Add([]byte(`["id==a",""]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := parseFilters(data)
		checkRefusal(t, data, err)
	})
}

func FuzzObject(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var process specs.Process
		checkRefusal(t, data, parseObject("process spec", data, &process))
		var resources libcontainerdtypes.Resources
		checkRefusal(t, data, parseObject("resources", data, &resources))
	})
}

func FuzzIDs(f *testing.F) {
	for _, id := range []string{"", ".", "..", "../../etc", "/etc", "a/b", "a\x00b", "é", "-a", "a.b-c_d", strings.Repeat("x", 77)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if identifiers.Validate(id) == nil && strings.ContainsAny(id, "/\x00") || identifiers.Validate(id) == nil && strings.Trim(id, ".") == "" {
			t.Fatalf("containerd takes %q, with which a bundle could lie elsewhere", id)
		}
	})
}
