package core

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/typeurl/v2"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// The files in testdata are what these tests and tests/unit/test_metrics.py of the Python side agree on. After a change
// of the cgroups module: go test ./internal/core -run Metrics -update
var update = flag.Bool("update", false, "write the files in testdata anew")

var metrics = map[string]proto.Message{"v1": &cgroup1.Metrics{}, "v2": &cgroup2.Metrics{}}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the module has: run with -update, and bring pyctd/metrics_*.py up to date\n%s", path, got)
	}
}

// describe adds a message and all that it holds: for each message its fields with their types.
func describe(message protoreflect.MessageDescriptor, into map[string]map[string]string) {
	fields := map[string]string{}
	into[string(message.Name())] = fields
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		name := field.Kind().String()
		if inner := field.Message(); inner != nil {
			name = string(inner.Name())
			if _, known := into[name]; !known {
				describe(inner, into)
			}
		}
		if field.Cardinality() == protoreflect.Repeated {
			name = "repeated " + name
		}
		fields[string(field.Name())] = name
	}
}

func TestMetricsAreWhatPythonKnows(t *testing.T) {
	found := map[string]map[string]map[string]string{}
	for _, message := range metrics {
		descriptor := message.ProtoReflect().Descriptor()
		messages := map[string]map[string]string{}
		describe(descriptor, messages)
		found[string(descriptor.FullName())] = messages
	}
	got, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "metrics.json", append(got, '\n'))
}

// fill sets every field, each to a value of its own; numbers count down from the largest of their size.
func fill(t *testing.T, message protoreflect.Message, count *uint64) {
	t.Helper()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.IsList() && field.Message() != nil:
			list := message.Mutable(field).List()
			for range 2 {
				fill(t, list.AppendMutable().Message(), count)
			}
		case field.IsList():
			list := message.Mutable(field).List()
			for range 2 {
				list.Append(scalar(t, field, count))
			}
		case field.Message() != nil:
			fill(t, message.Mutable(field).Message(), count)
		default:
			message.Set(field, scalar(t, field, count))
		}
	}
}

func scalar(t *testing.T, field protoreflect.FieldDescriptor, count *uint64) protoreflect.Value {
	t.Helper()
	n := *count
	*count++
	switch field.Kind() {
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(math.MaxUint64 - n)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(math.MaxUint32 - uint32(n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 4) // every fourth is whole, which JSON writes without a point
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("%s <%d> \"é\"", field.Name(), n))
	default:
		t.Fatalf("%s: no value for a %s", field.FullName(), field.Kind())
		return protoreflect.Value{}
	}
}

// A full message goes the whole way that a shim's does: into an Any, out of it as libcontainerd does it, and into JSON.
func TestMetricsReachPythonWhole(t *testing.T) {
	read := time.Unix(1700000000, 5)
	for version, message := range metrics {
		message = message.ProtoReflect().New().Interface()
		var count uint64
		fill(t, message.ProtoReflect(), &count)
		sent, err := typeurl.MarshalAnyToProto(message)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := typeurl.UnmarshalAny(sent)
		if err != nil {
			t.Fatal(err)
		}
		result, err := statsResult(libcontainerdtypes.InterfaceToStats(read, decoded))
		if err != nil || !result.At.Equal(read) {
			t.Fatal(result.At, err)
		}
		if !bytes.Contains(result.Data, []byte("18446744073709551615")) {
			t.Errorf("%s: the largest number is not there", version)
		}
		compare(t, "metrics_"+version+".json", append(result.Data, '\n'))
	}
}

func TestMetricsOfATypeThatIsNotKnown(t *testing.T) {
	_, err := typeurl.UnmarshalAny(&anypb.Any{TypeUrl: "io.example.Metrics"})
	if kind.Of(err) != kind.Unknown || !strings.Contains(err.Error(), "io.example.Metrics") {
		t.Fatalf("%d: %v", kind.Of(err), err)
	}
}
