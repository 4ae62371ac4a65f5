//go:build linux

package netns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// OuterVariable is in the environment of what runs in a process namespace of its own:
	// the namespace in which that one was made, and the number and the start of its first
	// process there, with spaces between.
	OuterVariable = "IKELAB_OUTER"
	// HolderVariable is in the environment of a process that holds a lab that stands: the
	// lab's folder. By it the process is found when the folder is gone.
	HolderVariable = "IKELAB_HOLDER"
)

// Owner is the process of a lab, as it is seen from here. Its number may be somebody
// else's one day; its number with its start never is, until the host starts again.
type Owner struct {
	pid       int
	namespace string // in which it has the number
	start     uint64 // in ticks since the host started; 0 where nobody noted it
	boot      string // names that start of the host; empty where nobody noted it
}

// bootID is different each time that the host starts, empty where it is not to be had.
var bootID = sync.OnceValue(func() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it numbers and starts count alone
	return strings.TrimSpace(string(id))
})

// OwnerOf is the process that has a number now.
func OwnerOf(pid int) (*Owner, error) {
	stat, err := readStat(pid)
	if err != nil {
		return nil, err
	}
	return &Owner{pid, processNamespace(), stat.start, bootID()}, nil
}

// PID is its number.
func (o *Owner) PID() int { return o.pid }

// In is what OuterVariable says of it, where it has its number in another namespace.
func (o *Owner) In(namespace string) string {
	return fmt.Sprintf("%d %s %d", o.pid, namespace, o.start)
}

// here says whether the number means anything here.
func (o *Owner) here() bool { return o.namespace == processNamespace() }

// Alive says whether it has not ended. Where nobody noted its start, it may be another
// process that lives.
func (o *Owner) Alive() bool {
	if o.boot != "" && bootID() != "" && o.boot != bootID() {
		return false
	}
	stat, err := readStat(o.pid)
	return err == nil && !stat.ended() && (o.start == 0 || o.start == stat.start)
}

// Signal sends it a signal, and nobody else: os.ErrProcessDone says that it has ended.
func (o *Owner) Signal(s syscall.Signal) error {
	if o.start == 0 {
		return errors.New("it may be another process, because an older version of ikelab did not note its start; if it is the lab's, end it")
	}
	p, err := os.FindProcess(o.pid) // by a descriptor, where the kernel has them for processes
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }() // it is no child
	if !o.Alive() {                    // asked behind the opening: so it is the right one that was opened
		return os.ErrProcessDone
	}
	return p.Signal(s)
}

// record is what a lab's owner file says.
type record struct {
	// owners are the process that has the lab, and where it is in a process namespace
	// of its own, with which it ends, that one's first process as it is seen outside.
	owners []*Owner
	// run says that it is a run and no lab that was left standing; older versions do not
	// say.
	run, said bool
	// token tells this lab from every other one that had the name.
	token string
	// cgroup is where its processes are, empty where there is none.
	cgroup string
	// names are the namespaces that the owner may make. They have a file of their own,
	// too; either may be taken away.
	names []string
}

// newRecord is about this process.
func newRecord(run bool, token string) *record {
	r := &record{run: run, said: true, token: token}
	if self, err := OwnerOf(os.Getpid()); err == nil {
		r.owners = append(r.owners, self)
	} else {
		r.owners = append(r.owners, &Owner{pid: os.Getpid(), namespace: processNamespace()})
	}
	if outer, err := parseOwner(strings.Fields(os.Getenv(OuterVariable))); err == nil {
		r.owners = append(r.owners, outer)
	}
	return r
}

func parseOwner(words []string) (*Owner, error) {
	if len(words) != 3 {
		return nil, errors.New("want a number, a namespace and a start")
	}
	pid, err1 := strconv.Atoi(words[0])
	start, err2 := strconv.ParseUint(words[2], 10, 64)
	return &Owner{pid: pid, namespace: words[1], start: start, boot: bootID()}, errors.Join(err1, err2)
}

// text is the owner file: number, instant and namespace, and what later versions added.
func (r *record) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n%s\n%s\n", r.owners[0].pid, time.Now().UTC().Format(time.RFC3339), r.owners[0].namespace)
	for _, o := range r.owners {
		fmt.Fprintf(&b, "process %d %s %d\n", o.pid, o.namespace, o.start)
	}
	kind := "lab"
	if r.run {
		kind = "run"
	}
	fmt.Fprintf(&b, "kind %s\ntoken %s\n", kind, r.token)
	if boot := bootID(); boot != "" {
		fmt.Fprintf(&b, "boot %s\n", boot)
	}
	if r.cgroup != "" {
		fmt.Fprintf(&b, "cgroup %s\n", r.cgroup)
	}
	return b.String() + namespaceLines(r.names)
}

// namespaceLines are the end of an owner file, which is added once they are known.
func namespaceLines(names []string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "namespace %s\n", name)
	}
	return b.String()
}

// parseRecord reads an owner file, also one of an older version.
func parseRecord(text string) (*record, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 3 {
		return nil, errors.New("it is cut off")
	}
	pid, err := strconv.Atoi(lines[0])
	if err != nil {
		return nil, err
	}
	r := &record{}
	boot := "" // for all owners
	for _, line := range lines[3:] {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "process":
			o, err := parseOwner(strings.Fields(value))
			if err != nil {
				return nil, err
			}
			r.owners = append(r.owners, o)
		case "kind":
			r.run, r.said = value == "run", true
		case "token":
			r.token = value
		case "cgroup":
			r.cgroup = value
		case "namespace":
			r.names = append(r.names, value)
		case "boot":
			boot = value
		}
	}
	if len(r.owners) == 0 {
		r.owners = append(r.owners, &Owner{pid: pid, namespace: lines[2]})
	}
	for _, o := range r.owners {
		o.boot = boot
	}
	return r, nil
}

// seen is the owner as it is seen from here, nil where it is not to be seen.
func (r *record) seen() *Owner {
	if r == nil {
		return nil
	}
	for _, o := range r.owners {
		if o.here() {
			return o
		}
	}
	return nil
}

// dead says that the owner has surely ended.
func (r *record) dead() bool {
	o := r.seen()
	return o != nil && !o.Alive()
}

// elsewhere says that the owner surely lives, and is another process than this one.
// Where nobody noted its start nothing is sure, and the lock says it.
func (r *record) elsewhere() bool {
	o := r.seen()
	return o != nil && o.start != 0 && o.pid != os.Getpid() && o.Alive()
}

// mark is what every command of a lab has in its environment.
func (r *record) mark(dir string) string { return markVariable + dir + "#" + r.token }

// markVariable begins what commands have in their environment; the lab's folder follows.
const markVariable = "IKELAB_LAB="

// Namespaces are those of a lab's that the process holds open, by their names.
func (o *Owner) Namespaces(id string) []string {
	open := map[uint64]bool{}
	descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", o.pid)) // of a process that is gone none
	for _, d := range descriptors {
		var st unix.Stat_t
		if unix.Stat(d, &st) == nil {
			open[st.Ino] = true
		}
	}
	return slices.DeleteFunc(Namespaces(id), func(name string) bool {
		var st unix.Stat_t
		return unix.Stat(filepath.Join(namespaceFolder, name), &st) != nil || !open[st.Ino]
	})
}

// holders are the processes that hold labs of this folder of state, by identifier. They
// are this user's: everybody can write anything into an environment of their own.
func holders() map[string]*Owner {
	state, err := filepath.Abs(StateDir())
	if err != nil {
		return nil
	}
	found := map[int]string{}
	for _, pid := range processes() {
		info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		if err != nil || ownerOf(info) != os.Geteuid() {
			continue // gone, or somebody else's
		}
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue
		}
		for variable := range bytes.SplitSeq(environment, []byte{0}) {
			folder, is := strings.CutPrefix(string(variable), HolderVariable+"=")
			id, named := strings.CutSuffix(filepath.Base(folder), folderSuffix)
			if is && named && filepath.Dir(folder) == state {
				found[pid] = id
			}
		}
	}
	all := map[string]*Owner{}
	for pid, id := range found {
		stat, err := readStat(pid)
		if err != nil || stat.ended() || found[stat.parent] == id {
			continue // it goes with its parent
		}
		all[id] = &Owner{pid, processNamespace(), stat.start, bootID()}
	}
	return all
}

// processes are the numbers of all that there are.
func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // a host without /proc has more to complain of
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processStat is what /proc/PID/stat says.
type processStat struct {
	state  byte
	parent int
	start  uint64
}

// ended says that it only waits to be asked how it ended.
func (s processStat) ended() bool { return slices.Contains([]byte("ZX"), s.state) }

func readStat(pid int) (processStat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}, err
	}
	// The state follows the program's name, which stands in parentheses and may itself
	// have some.
	i := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[i+1:]))
	const startField = 19 // the 22nd of proc_pid_stat(5), the state being the third
	if i < 0 || len(fields) <= startField {
		return processStat{}, fmt.Errorf("/proc/%d/stat cannot be read", pid)
	}
	parent, err1 := strconv.Atoi(fields[1])
	start, err2 := strconv.ParseUint(fields[startField], 10, 64)
	return processStat{fields[0][0], parent, start}, errors.Join(err1, err2)
}

// processNamespace names the namespace in which this process has its number.
func processNamespace() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "unknown"
	}
	return name
}
