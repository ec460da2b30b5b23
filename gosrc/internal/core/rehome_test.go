package core

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/checkpoint-restore/go-criu/v7/crit/images/cgroup"
	"github.com/containerd/containerd/v2/core/content"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

func TestTheCgroupOfASpec(t *testing.T) {
	for given, want := range map[string]string{
		"/pyctd/a/b/c":                "/pyctd/a/b/c",
		"/a/../../b":                  "/b",
		"a/b":                         "",
		"":                            "",
		"system.slice:pyctd-m-c:1234": "/system.slice/pyctd-m-c-1234.scope",
		":docker:abc":                 "/system.slice/docker-abc.scope",
		"a-b-c.slice:docker:abc":      "/a.slice/a-b.slice/a-b-c.slice/docker-abc.scope",
		"-.slice:docker:abc":          "/docker-abc.scope",
		"a.slice:docker:own.slice":    "/a.slice/own.slice",
	} {
		if got := cgroupOf(given); got != want {
			t.Errorf("%q: %q, not %q", given, got, want)
		}
	}
}

// imageOf is a cgroup.img as CRIU writes one.
func imageOf(t *testing.T, entry *cgroup.CgroupEntry) []byte {
	t.Helper()
	message, err := proto.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	image := append([]byte("\x19\x43\x56\x54\x30\x33\x38\x59"), binary.LittleEndian.AppendUint32(nil, uint32(len(message)))...)
	return append(image, message...)
}

func member(name, path string, prefix ...uint32) *cgroup.CgMemberEntry {
	m := &cgroup.CgMemberEntry{Name: &name, Path: &path}
	for _, p := range prefix {
		m.CgnsPrefix = &p
	}
	return m
}

func entryOf(dirs []string, members ...*cgroup.CgMemberEntry) *cgroup.CgroupEntry {
	entry := &cgroup.CgroupEntry{}
	for i, m := range members {
		entry.Sets = append(entry.Sets, &cgroup.CgSetEntry{Id: proto.Uint32(uint32(i + 2)), Ctls: []*cgroup.CgMemberEntry{m, member("pids", "/old")}})
	}
	controllers := []*cgroup.CgControllerEntry{{Cnames: []string{""}}, {Cnames: []string{"pids"}}}
	for _, c := range controllers {
		for _, dir := range dirs {
			c.Dirs = append(c.Dirs, &cgroup.CgroupDirEntry{DirName: proto.String(dir)})
		}
	}
	entry.Controllers = controllers
	return entry
}

func TestTheCgroupsOfACheckpointAreMoved(t *testing.T) {
	for name, test := range map[string]struct{ before, after *cgroup.CgroupEntry }{
		"a cgroup namespace": {
			entryOf([]string{"p/old"}, member("", "/p/old", 6), member("", "/p/old/below", 6)),
			entryOf([]string{"q/other"}, member("", "/q/other", 8), member("", "/q/other/below", 8)),
		},
		"the host's namespace": {
			entryOf([]string{"p/old", "p/oldest"}, member("", "/p/old"), member("", "/p/old/below")),
			entryOf([]string{"q/other", "p/oldest"}, member("", "/q/other"), member("", "/q/other/below")),
		},
		"the host's namespace, the deepest first": {
			entryOf(nil, member("", "/p/old/below"), member("", "/p/old")),
			entryOf(nil, member("", "/q/other/below"), member("", "/q/other")),
		},
		"none below the namespace's root": {
			entryOf([]string{"p/old/below"}, member("", "/p/old/below", 6)),
			entryOf([]string{"q/other/below"}, member("", "/q/other/below", 8)),
		},
		"a prefix that can't be one": {entryOf(nil, member("", "/p/old", 99)), entryOf(nil, member("", "/q/other", 8))},
		"v1 alone":                   {entryOf([]string{"p"}, member("cpu", "/p")), entryOf([]string{"p"}, member("cpu", "/p"))},
	} {
		if name == "v1 alone" {
			test.before.Controllers, test.after.Controllers = nil, nil
		} else {
			test.after.Controllers[1] = test.before.Controllers[1]
		}
		moved, err := moveCgroups(imageOf(t, test.before), "/q/other")
		if err != nil {
			t.Fatalf("%s: %s", name, err)
		}
		var got cgroup.CgroupEntry
		if err := proto.Unmarshal(moved[imageHeader:], &got); err != nil {
			t.Fatalf("%s: %s", name, err)
		}
		if !proto.Equal(&got, test.after) || !bytes.Equal(moved[:8], imageOf(t, test.before)[:8]) {
			t.Errorf("%s: %s, not %s", name, &got, test.after)
		}
	}
}

// A memoryStore keeps what is uploaded.
type memoryStore struct {
	content.Store
	to *memoryWriter
}

func (s memoryStore) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return s.to, nil
}

type memoryWriter struct {
	content.Writer
	data              bytes.Buffer
	committed, closed bool
	fails             error
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.fails != nil {
		return 0, w.fails
	}
	return w.data.Write(p)
}

func (w *memoryWriter) Commit(context.Context, int64, digest.Digest, ...content.Opt) error {
	w.committed = true
	return nil
}

func (w *memoryWriter) Close() error {
	w.closed = true
	return nil
}

func archiveOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	out := tar.NewWriter(&buffer)
	for i := 0; i < len(files); i += 2 {
		header := &tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1])), PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b"}}
		if err := errors.Join(out.WriteHeader(header), second(out.Write([]byte(files[i+1])))); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return append(buffer.Bytes(), make([]byte, 4096)...) // as tar pads
}

func second[T any](_ T, err error) error { return err }

func TestAnUploadIsMovedOnItsWay(t *testing.T) {
	image := imageOf(t, entryOf([]string{"p/old"}, member("", "/p/old")))
	big := string(bytes.Repeat([]byte("page"), 1<<18))
	to := &memoryWriter{}
	writer, err := (&blobs{memoryStore{to: to}}).Writer(intoCgroup(t.Context(), "/new"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(writer, bytes.NewReader(archiveOf(t, "pages-1.img", big, "cgroup.img", string(image), "deep/cgroup.img", "no image"))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writer.Commit(t.Context(), 0, ""), writer.Close()); err != nil || !to.committed || !to.closed {
		t.Fatal(err, to.committed, to.closed)
	}
	got := map[string]string{}
	for in := tar.NewReader(&to.data); ; {
		header, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil || header.PAXRecords["SCHILY.xattr.user.a"] != "b" {
			t.Fatal(err, header)
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = string(body)
	}
	want, _ := moveCgroups(image, "/new")
	if len(got) != 3 || got["pages-1.img"] != big || got["cgroup.img"] != string(want) || got["deep/cgroup.img"] != "no image" {
		t.Errorf("%d files; cgroup.img %q, not %q", len(got), got["cgroup.img"], want)
	}
}

func TestAnUploadThatFailsOrIsGivenUp(t *testing.T) {
	image := string(imageOf(t, entryOf(nil, member("", "/p/old"))))
	full := errors.New("disk full")
	for name, test := range map[string]struct {
		archive []byte
		fails   error
		want    func(error) bool
	}{
		"no image":           {archiveOf(t, "cgroup.img", "none"), nil, cerrdefs.IsInvalidArgument},
		"a false length":     {archiveOf(t, "cgroup.img", image+"x\x01"), nil, cerrdefs.IsInvalidArgument},
		"no message":         {archiveOf(t, "cgroup.img", "\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\xff\xff"), nil, cerrdefs.IsInvalidArgument},
		"no archive":         {bytes.Repeat([]byte("x"), 2048), nil, func(err error) bool { return errors.Is(err, tar.ErrHeader) }},
		"cut off":            {archiveOf(t, "cgroup.img", image)[:1100], nil, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"a store that fails": {archiveOf(t, "cgroup.img", image), full, func(err error) bool { return errors.Is(err, full) }},
	} {
		to := &memoryWriter{fails: test.fails}
		writer, err := (&blobs{memoryStore{to: to}}).Writer(intoCgroup(t.Context(), "/new"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(writer, bytes.NewReader(test.archive))
		if err == nil {
			err = writer.Commit(t.Context(), 0, "")
		}
		if !test.want(err) || to.committed {
			t.Errorf("%s: %v, committed %t", name, err, to.committed)
		}
		if err := writer.Close(); err != nil || !to.closed {
			t.Errorf("%s: %v, closed %t", name, err, to.closed)
		}
	}
	to := &memoryWriter{}
	writer, err := (&blobs{memoryStore{to: to}}).Writer(intoCgroup(t.Context(), "/new"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(archiveOf(t, "cgroup.img", image)[:100]); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil || to.committed || !to.closed {
		t.Error("given up:", err, to.committed, to.closed)
	}
	plain, err := (&blobs{memoryStore{to: to}}).Writer(t.Context())
	if err != nil || plain != content.Writer(to) {
		t.Error("an upload of anything else goes through something:", plain, err)
	}
}

// FuzzMoveCgroups: a checkpoint may come from anywhere.
func FuzzMoveCgroups(f *testing.F) {
	f.Add([]byte("\x19\x43\x56\x54\x30\x33\x38\x59\x00\x00\x00\x00"))
	message, _ := proto.Marshal(entryOf([]string{"p/old"}, member("", "/p/old", 6), member("", "/p/old/below", 6)))
	f.Add(append(binary.LittleEndian.AppendUint32(make([]byte, 8), uint32(len(message))), message...))
	f.Fuzz(func(t *testing.T, image []byte) {
		moved, err := moveCgroups(image, "/new")
		if err != nil {
			return
		}
		if again, err := moveCgroups(moved, "/new"); err != nil || len(again) < imageHeader {
			t.Error(err)
		}
	})
}
