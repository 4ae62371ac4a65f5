package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExecFromAnyFolder: a command starts in its caller's folder, and from one that is gone, or that the lab's holder
// cannot enter, in /, which exec says; its status is the command's all the same. Everything else that is done with a
// lab takes no folder at all.
func TestExecFromAnyFolder(t *testing.T) {
	t.Parallel()
	type folder struct {
		name string
		gone bool
		dir  string // "" is the user's home
		want string // where the command starts; "" is there
		says string // on standard error
	}
	closed := t.TempDir()
	inside := filepath.Join(closed, "clone")
	for _, err := range []error{os.Mkdir(inside, 0o755), os.Chmod(closed, 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []struct {
		name   string
		nobody bool
		all    []folder
	}{
		{"root", false, []folder{
			{"that nobody else may enter", false, inside, inside, ""},
			{"that is gone", true, "", "/", "this folder is gone"},
		}},
		{"a user", true, []folder{
			{"of the user's", false, "", "", ""},
			{"below one of root's", false, inside, "/", `cannot enter "` + inside + `" (permission denied): the command starts in /`},
			{"of root's", false, closed, "/", "the command starts in /"},
			{"that is gone", true, "", "/", "this folder is gone"},
		}},
	} {
		t.Run(user.name, func(t *testing.T) {
			home := nobodyHome(t)
			p := newPlace(t)
			if user.nobody {
				p.nobody(t, home)
				if o := p.run("doctor", "rights"); o.status != exitOK {
					t.Skipf("needs user namespaces without root: %s; cure: sysctl -w user.max_user_namespaces=10000, and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0", o.out)
				}
			}
			lab := filepath.Join(home, "lab.hcl")
			if err := os.WriteFile(lab, []byte(strings.Replace(standingLab, "LAB", id("folder"), 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			at := func(f folder) *place {
				there := *p
				if there.dir = f.dir; f.dir == "" {
					there.dir = home
				}
				if f.gone {
					there.prefix = append([]string{"sh", "-c", `mkdir gone && cd gone && rmdir ../gone && exec "$@"`, "sh"}, p.prefix...)
				}
				return &there
			}
			last := at(user.all[len(user.all)-1])
			last.good("validate", lab)
			last.good("up", lab)
			for _, f := range user.all {
				there := at(f)
				want := f.want
				if want == "" {
					want = there.dir
				}
				o := there.run("exec", "ha", "--", "sh", "-c", `pwd; echo "$PWD"; exit 7`)
				if both := want + "\n" + want + "\n"; o.status != 7 || o.out != both {
					t.Errorf("in a folder %s: status %d, %q, want 7 and %q: %s", f.name, o.status, o.out, both, o.err)
				}
				if said := strings.Count(o.err, "ikelab: "); f.says == "" && o.err != "" || f.says != "" && said != 1 || !strings.Contains(o.err, f.says) {
					t.Errorf("in a folder %s: it says %q, want %q", f.name, o.err, f.says)
				}
			}
			last.good("status")
			last.good("do", "cut")
			last.good("down")
			if o := last.run("run", "--engine", "netns", "--until", "100ms", lab); o.status != exitFailed || !strings.Contains(o.out, "result  ") {
				t.Errorf("run: status %d: %s%s", o.status, o.out, o.err)
			}
		})
	}
}
