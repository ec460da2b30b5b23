package core

import (
	"context"
	"fmt"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	cerrdefs "github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An image's author, who may be anyone, chooses what is in it.

// reserved is the prefix of labels that containerd acts on. Its restart monitor starts a container with such labels, and pipes
// the container's output as root into a host program that a label names together with its arguments.
const reserved = "containerd.io/"

// imageConfigLabels is containerd's WithImageConfigLabels, but refuses an image with reserved labels.
func imageConfigLabels(image containerd.Image, _ imageValue) containerd.NewContainerOpts {
	take := containerd.WithImageConfigLabels(image)
	return func(ctx context.Context, daemon *containerd.Client, c *containers.Container) error {
		if err := take(ctx, daemon, c); err != nil {
			return err
		}
		for name := range c.Labels {
			if strings.HasPrefix(name, reserved) {
				return refused("image %q is not safe: it has the label %q, by which containerd would act for whoever made the image", image.Name(), name)
			}
		}
		return nil
	}
}

// maxBlob limits an image's manifest and config, which containerd's client reads whole. Registries accept manifests of 4 MiB.
const maxBlob = 16 << 20

type wholeBlobs struct{}

// ofAnyLength marks a call that reads something other than an image.
func ofAnyLength(ctx context.Context) context.Context {
	return context.WithValue(ctx, wholeBlobs{}, true)
}

func (b *blobs) ReaderAt(ctx context.Context, of ocispec.Descriptor) (content.ReaderAt, error) {
	reader, err := b.Store.ReaderAt(ctx, of)
	if err == nil && reader.Size() > maxBlob && ctx.Value(wholeBlobs{}) == nil {
		err = cerrdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("blob %s of an image has %d bytes, and at most %d are read", of.Digest, reader.Size(), maxBlob))
		_ = reader.Close()
		return nil, err
	}
	return reader, err
}
