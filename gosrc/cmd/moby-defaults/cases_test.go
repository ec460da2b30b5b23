package main

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/oci/caps"
	"github.com/moby/sys/user"
)

// Users and capabilities are found in Python, since a spec is built without Go. The cases are what moby makes of them:
// this test holds them to moby, and Python's tests hold pyctd.spec to them.
const file = "../../../tests/unit/moby-cases.json"

type execUser struct {
	UID    int   `json:"uid"`
	GID    int   `json:"gid"`
	Groups []int `json:"groups"`
}

type cases struct {
	Passwd       string               `json:"passwd"`
	Group        string               `json:"group"`
	Users        map[string]*execUser `json:"users"` // none where moby refuses
	Capabilities []capability         `json:"capabilities"`
}

type capability struct {
	Add  []string `json:"add"`
	Drop []string `json:"drop"`
	Want []string `json:"want"` // none where moby refuses
}

func TestTheCasesAreMobys(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var given, moby cases
	for _, into := range []*cases{&given, &moby} {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	for name := range moby.Users {
		moby.Users[name] = nil
		found, err := user.GetExecUser(name, nil, strings.NewReader(given.Passwd), strings.NewReader(given.Group))
		if err == nil {
			moby.Users[name] = &execUser{UID: found.Uid, GID: found.Gid, Groups: found.Sgids}
		}
	}
	for i, c := range moby.Capabilities {
		moby.Capabilities[i].Want = nil
		if tweaked, err := caps.TweakCapabilities(caps.DefaultCapabilities(), c.Add, c.Drop, false); err == nil {
			want := []string{}
			for _, name := range tweaked {
				if !slices.Contains(want, name) { // moby keeps one that is there twice, to no effect
					want = append(want, name)
				}
			}
			moby.Capabilities[i].Want = want
		}
	}
	if !reflect.DeepEqual(given, moby) {
		now, _ := json.MarshalIndent(moby, "", " ")
		t.Errorf("%s is not what moby says, which is\n%s", file, now)
	}
}
