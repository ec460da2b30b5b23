package core

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/checkpoint-restore/go-criu/v7/crit/images/cgroup"
	"github.com/containerd/cgroups/v3"
	"github.com/containerd/containerd/v2/core/content"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
)

// On cgroup v1, runc has CRIU move a restored process into its new container's cgroups. On v2 it does not: the process lands in
// the cgroup of its checkpoint, which may belong to another container or to none. So pyctd rewrites that cgroup in the
// checkpoint on its way to containerd. The caller's directory stays unchanged.

// blobs is containerd's content store. Images are read from it, and libcontainerd uploads the checkpoint of a restore to it.
type blobs struct {
	content.Store // set once the connection exists
}

type newHome struct{}

// intoCgroup marks the upload of a checkpoint to be restored into a cgroup.
func intoCgroup(ctx context.Context, cgroup string) context.Context {
	return context.WithValue(ctx, newHome{}, cgroup)
}

func (b *blobs) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	writer, err := b.Store.Writer(ctx, opts...)
	home, moves := ctx.Value(newHome{}).(string)
	if err != nil || !moves {
		return writer, err
	}
	reader, in := io.Pipe()
	moving := &movingWriter{Writer: writer, in: in, moved: make(chan error, 1)}
	spawn(func() {
		_, err := protect(func() (struct{}, error) { return struct{}{}, rehome(reader, writer, home) })
		_ = reader.CloseWithError(err)
		moving.moved <- err
	})
	return moving, nil
}

// A movingWriter takes a checkpoint's tar archive and passes it on with its cgroups moved.
type movingWriter struct {
	content.Writer
	in    *io.PipeWriter
	moved chan error
}

func (w *movingWriter) Write(p []byte) (int, error) { return w.in.Write(p) }

func (w *movingWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	_ = w.in.Close()
	err := <-w.moved
	w.moved <- err // for Close
	if err != nil {
		return err
	}
	return w.Writer.Commit(ctx, size, expected, opts...)
}

func (w *movingWriter) Close() error {
	_ = w.in.CloseWithError(errors.New("the upload was given up"))
	<-w.moved
	return w.Writer.Close()
}

// rehome copies a checkpoint's archive with its cgroups moved.
func rehome(from io.Reader, to io.Writer, home string) error {
	in, out := tar.NewReader(from), tar.NewWriter(to)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, from) // the padding: the other end still writes it
			return errors.Join(err, out.Close())
		}
		if err != nil {
			return err
		}
		var body io.Reader = in
		if path.Clean(header.Name) == "cgroup.img" && header.Typeflag == tar.TypeReg {
			image, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			if image, err = moveCgroups(image, home); err != nil {
				return cerrdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the checkpoint's cgroup.img can't be read: %s", err))
			}
			header.Size, body = int64(len(image)), bytes.NewReader(image)
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, body); err != nil {
			return err
		}
	}
}

// imageHeader is the size of a CRIU image's header: two magic numbers and the message's length.
const imageHeader = 12

// moveCgroups moves the container's cgroup and those below it to home, in a cgroup.img.
func moveCgroups(image []byte, home string) ([]byte, error) {
	if len(image) < imageHeader || int(binary.LittleEndian.Uint32(image[imageHeader-4:])) != len(image)-imageHeader {
		return nil, io.ErrUnexpectedEOF
	}
	var entry cgroup.CgroupEntry
	if err := proto.Unmarshal(image[imageHeader:], &entry); err != nil {
		return nil, err
	}
	old := ownCgroup(&entry)
	moved := func(name string) string {
		if rest, inside := strings.CutPrefix(name, old); inside && (rest == "" || rest[0] == '/') {
			return home + rest
		}
		return name
	}
	for _, member := range unified(&entry) {
		member.Path = proto.String(moved(member.GetPath()))
		if member.CgnsPrefix != nil {
			member.CgnsPrefix = proto.Uint32(uint32(len(home)))
		}
	}
	for _, controller := range entry.GetControllers() {
		if slices.Contains(controller.GetCnames(), "") {
			for _, dir := range controller.GetDirs() {
				dir.DirName = proto.String(strings.TrimPrefix(moved("/"+dir.GetDirName()), "/"))
			}
		}
	}
	message, err := proto.Marshal(&entry)
	if err != nil {
		return nil, err
	}
	image = binary.LittleEndian.AppendUint32(slices.Clone(image[:imageHeader-4]), uint32(len(message)))
	return append(image, message...), nil
}

// unified lists the processes' places in the cgroup v2 hierarchy, the one without a name.
func unified(entry *cgroup.CgroupEntry) (members []*cgroup.CgMemberEntry) {
	for _, set := range entry.GetSets() {
		for _, member := range set.GetCtls() {
			if member.GetName() == "" {
				members = append(members, member)
			}
		}
	}
	return members
}

// ownCgroup is the container's cgroup in a checkpoint: the root of its cgroup namespace. A container in the host's namespace
// has no such root; its cgroup is the one that holds all its processes.
func ownCgroup(entry *cgroup.CgroupEntry) string {
	var common []string
	for i, member := range unified(entry) {
		if prefix := int(member.GetCgnsPrefix()); prefix > 0 && prefix <= len(member.GetPath()) {
			return member.GetPath()[:prefix]
		}
		parts := strings.Split(member.GetPath(), "/")
		if i == 0 {
			common = parts
		}
		for j := range common {
			if j >= len(parts) || parts[j] != common[j] {
				common = common[:j]
				break
			}
		}
	}
	return strings.Join(common, "/")
}

// homeOf is the path of a container's cgroup on cgroup v2. It is empty if runc chooses the path, and on v1.
func (ctr *Container) homeOf(ctx context.Context) (string, error) {
	if cgroups.Mode() != cgroups.Unified {
		return "", nil
	}
	stored, err := ctr.client.daemon.ContainerService().Get(ctx, ctr.id)
	if err != nil {
		return "", err
	}
	var spec specs.Spec
	if err := json.Unmarshal(stored.Spec.GetValue(), &spec); err != nil || spec.Linux == nil {
		return "", err
	}
	return cgroupOf(spec.Linux.CgroupsPath), nil
}

// cgroupOf is where runc puts a spec's cgroupsPath: a path, or "slice:prefix:name" for systemd's driver.
func cgroupOf(cgroupsPath string) string {
	if parts := strings.Split(cgroupsPath, ":"); len(parts) == 3 {
		slice, prefix, name := parts[0], parts[1], parts[2]
		if slice == "" {
			slice = "system.slice"
		}
		if !strings.HasSuffix(name, ".slice") {
			name = prefix + "-" + name + ".scope"
		}
		return path.Join(slicePath(slice), name)
	}
	if !path.IsAbs(cgroupsPath) { // runc puts it below the cgroup that the shim is in
		return ""
	}
	return path.Clean(cgroupsPath)
}

// slicePath is the path of a slice's cgroup: systemd puts "a-b.slice" into "a.slice".
func slicePath(slice string) string {
	name := strings.TrimSuffix(slice, ".slice")
	whole := "/"
	if name == "-" {
		return whole
	}
	for i, r := range name + "-" {
		if r == '-' {
			whole = path.Join(whole, name[:i]+".slice")
		}
	}
	return whole
}
