package core

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

func TestABundleIsNamedForItsContainer(t *testing.T) {
	for path, good := range map[string]bool{
		"/run/pyctd/moby/web": true, "/web": true, "/run/web.100000.100000": true,
		"": false, "web": false, "/": false, "/etc": false, "/run/web/": false, "/run/web/..": false, "/run/../web": false,
		"/run/web2": false, "/run/web.1": false, "/run/web.1.": false, "/run/web.a.b": false, "/run/web.1.2/x": false,
	} {
		if err := checkBundleName("web", path); (err == nil) != good || err != nil && kind.Of(err) != kind.FailedPrecondition {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestALinkInThePlaceOfABundle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web")
	mapped := []specs.LinuxIDMapping{{ContainerID: 1, HostID: 7, Size: 9}, {ContainerID: 0, HostID: 100000, Size: 65536}}
	spec := &specs.Spec{Linux: &specs.Linux{UIDMappings: mapped, GIDMappings: mapped}}
	for _, at := range []string{path, path + ".100000.100000"} {
		if err := checkNewBundle(path, spec); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/nowhere", at); err != nil {
			t.Fatal(err)
		}
		if err := checkNewBundle(path, spec); kind.Of(err) != kind.FailedPrecondition {
			t.Errorf("%q: %v", at, err)
		}
		if err := os.Remove(at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirectoriesAreAbsolute(t *testing.T) {
	for _, path := range []string{"", ".", "a", "../a"} {
		if err := checkDirectory("state", path); kind.Of(err) != kind.InvalidArgument {
			t.Errorf("%q: %v", path, err)
		}
	}
}
