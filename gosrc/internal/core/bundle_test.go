package core

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

func TestABundleIsNamedForItsContainer(t *testing.T) {
	for path, good := range map[string]bool{
		"/run/pyctd/moby/web": true, "/web": true, "/run/web.100000.100000": true,
		"": false, "web": false, "/": false, "/etc": false, "/run/web/": false, "/run/web/..": false, "/run/../web": false,
		"/run/web2": false, "/run/web.1": false, "/run/web.1.": false, "/run/web.a.b": false, "/run/web.1.2/x": false,
	} {
		if err := checkBundle("web", path); (err == nil) != good || err != nil && kind.Of(err) != kind.FailedPrecondition {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestABundleThatWasThereBeforeStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web")
	made := newBundle(path)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	newBundle(path).remove()
	if !exists(path) {
		t.Fatal("a directory that was there before was removed")
	}
	made.remove()
	if exists(path) {
		t.Fatal("a directory that was made meanwhile is left")
	}
}

func TestNothingButFIFOsMayBeWhereAProcessHasItsFIFOs(t *testing.T) {
	state := t.TempDir()
	ctr := &Container{client: &Client{stateDir: state}, id: "web", bundle: filepath.Join(state, "web")}
	path := filepath.Join(ctr.bundle, "e-stdout")
	for name, c := range map[string]struct {
		make func() error
		want kind.Kind
	}{
		"nothing":     {func() error { return nil }, kind.OK},
		"a FIFO":      {func() error { return unix.Mkfifo(path, 0o600) }, kind.OK},
		"a link":      {func() error { return os.Symlink("/dev/null", path) }, kind.FailedPrecondition},
		"a file":      {func() error { return os.WriteFile(path, nil, 0o600) }, kind.FailedPrecondition},
		"a directory": {func() error { return os.Mkdir(path, 0o700) }, kind.FailedPrecondition},
	} {
		if err := errors.Join(os.RemoveAll(ctr.bundle), os.Mkdir(ctr.bundle, 0o700), c.make()); err != nil {
			t.Fatal(err)
		}
		if err := ctr.checkFIFOs("e"); kind.Of(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALinkInThePlaceOfABundle(t *testing.T) {
	path := filepath.Join(enterable(t), "web")
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

func TestABundleInAStateDirectoryThatHasBecomeAnotherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	state := t.TempDir()
	path := filepath.Join(state, "web")
	spec := &specs.Spec{Linux: &specs.Linux{}}
	ctr := &Container{client: &Client{stateDir: state}, id: "web", bundle: path}
	check := func(want kind.Kind) {
		t.Helper()
		for name, err := range map[string]error{
			"new": checkNewBundle(path, spec), "there": checkBundle("web", path), "FIFOs": ctr.checkFIFOs("web"),
		} {
			if kind.Of(err) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	check(kind.OK)
	if err := os.Chown(state, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	check(kind.FailedPrecondition)
}

// enterable is a directory that everybody may enter.
func enterable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path := dir; path != os.TempDir(); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAStateDirectoryThatTheRootOfAUserNamespaceMayNotEnter(t *testing.T) {
	mapped := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	spec := &specs.Spec{Linux: &specs.Linux{UIDMappings: mapped, GIDMappings: mapped}}
	above := enterable(t)
	path := filepath.Join(above, "closed", "state", "web")
	if err := os.Mkdir(filepath.Join(above, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkNewBundle(path, spec); kind.Of(err) != kind.FailedPrecondition {
		t.Fatal(err)
	}
	if err := checkNewBundle(path, &specs.Spec{Linux: &specs.Linux{}}); err != nil {
		t.Fatalf("without a user namespace: %v", err)
	}
	if err := os.Chmod(filepath.Join(above, "closed"), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := checkNewBundle(path, spec); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoriesAreAbsolute(t *testing.T) {
	for _, path := range []string{"", ".", "a", "../a"} {
		if err := checkDirectory("state", path); kind.Of(err) != kind.InvalidArgument {
			t.Errorf("%q: %v", path, err)
		}
	}
}
