// Command moby-defaults prints, as JSON, what pyctd.spec takes from moby. The build runs it and packs its output, so that
// Python has moby's defaults without loading Go.
package main

import (
	"encoding/json"
	"log"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/docker/docker/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// perMachine begins the masked paths that moby adds for each of a machine's CPUs. Python adds those of the machine that
// it runs on; the one that built the package has no say.
const perMachine = "/sys/devices/system/cpu/"

type defaults struct {
	// Spec is dockerd's default for Linux containers, before it learns anything of the container.
	Spec specs.Spec `json:"spec"`
	// Path is dockerd's PATH.
	Path string `json:"path"`
	// Capabilities are all that moby knows, in the order of their numbers.
	Capabilities []string `json:"capabilities"`
}

func mobyDefaults() defaults {
	spec := oci.DefaultLinuxSpec()
	spec.Linux.MaskedPaths = slices.DeleteFunc(slices.Clone(spec.Linux.MaskedPaths), func(path string) bool {
		return strings.HasPrefix(path, perMachine)
	})
	return defaults{Spec: spec, Path: oci.DefaultPathEnv("linux"), Capabilities: cap.Known()}
}

func main() {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(mobyDefaults()); err != nil {
		log.Fatal(err)
	}
}
