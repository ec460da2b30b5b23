package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/oci"
	"github.com/docker/docker/oci/caps"
)

func TestTheSpecIsMobys(t *testing.T) {
	got, want := mobyDefaults().Spec, oci.DefaultLinuxSpec()
	machine := slices.DeleteFunc(slices.Clone(want.Linux.MaskedPaths), func(path string) bool {
		return slices.Contains(got.Linux.MaskedPaths, path)
	})
	for _, path := range machine {
		if !strings.HasPrefix(path, "/sys/devices/system/cpu/cpu") || !strings.HasSuffix(path, "/thermal_throttle") {
			t.Errorf("moby masks %s, which Python does not add", path)
		}
	}
	got.Linux.MaskedPaths, want.Linux.MaskedPaths = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNothingOfTheMachineIsPacked(t *testing.T) {
	for _, path := range mobyDefaults().Spec.Linux.MaskedPaths {
		if strings.HasPrefix(path, perMachine) {
			t.Errorf("%s is this machine's", path)
		}
	}
}

func TestEveryDefaultCapabilityIsKnown(t *testing.T) {
	for _, name := range append(caps.DefaultCapabilities(), caps.GetAllCapabilities()...) {
		if !slices.Contains(mobyDefaults().Capabilities, name) {
			t.Errorf("%s is not among the known", name)
		}
	}
}
