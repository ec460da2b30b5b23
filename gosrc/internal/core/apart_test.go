package core

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scopes are places where the same id is another container.
var scopes = []scope{
	{"6f1c2f1e", "/run/pyctd/moby", "moby"},
	{"0b7d9a44", "/run/pyctd/moby", "moby"}, // another daemon
	{"6f1c2f1e", "/run/other/moby", "moby"}, // the same root directory, found by the next engine
	{"6f1c2f1e", "/run/pyctd/moby", "moby-web"},
	{"6f1c2f1e", "/run/pyctd/moby", "moby.web"},
}

func TestNoTwoContainersHaveOneCgroup(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scopes {
		for _, id := range []string{"web", "web-web", "web.slice"} {
			for _, systemd := range []bool{false, true} {
				path := s.cgroup(id, systemd)
				if systemd {
					parts := strings.Split(path, ":")
					if len(parts) != 3 || strings.HasSuffix(parts[2], ".slice") {
						t.Errorf("%q is no scope", path)
					}
					path = parts[1] + "-" + parts[2] + ".scope" // as runc names the unit
				}
				if seen[path] {
					t.Errorf("%q is another's", path)
				}
				seen[path] = true
			}
		}
	}
}

func TestOneStateDirectoryHasOneCgroupHoweverItIsWritten(t *testing.T) {
	one, other := scope{"d", "/run/x", "n"}, scope{"d", "/run//y/../x/", "n"}
	if one.cgroup("c", false) != other.cgroup("c", false) || one.runcRoot() != other.runcRoot() {
		t.Error("two")
	}
}

func TestRuncsRootIsNoBundle(t *testing.T) {
	for _, s := range scopes {
		below, err := filepath.Rel(s.stateDir, s.runcRoot())
		if err != nil || !strings.HasPrefix(below, ".") || strings.HasPrefix(below, "..") {
			t.Errorf("%q: %v", s.runcRoot(), err)
		}
	}
}

func TestATreeOfDirectoriesIsRemovedAsFarAsItGoes(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	for _, path := range []string{"a/b/c", "a/d", "e"} {
		if err := os.MkdirAll(filepath.Join(tree, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	busy := filepath.Join(tree, "a/d/file")
	if err := os.WriteFile(busy, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if left := removeDirectories(tree); left != 3 { // tree, a and d
		t.Errorf("%d are left", left)
	}
	if err := os.Remove(busy); err != nil {
		t.Fatal(err)
	}
	if left := removeDirectories(tree); left != 0 {
		t.Errorf("%d are left", left)
	}
	if _, err := os.Stat(tree); err == nil {
		t.Error("it is still there")
	}
}
