package standing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/sim/netns"
)

// Version is the protocol's. A holder refuses every other one but for the command to stop.
const Version = 4

const (
	controlFile = "control" // the socket, in the lab's folder
	// requestBytesMax bounds what a client may send over one connection; environments can be long.
	requestBytesMax = 16 << 20
	// helloTimeout is how long a client has to say what it wants.
	helloTimeout = 10 * time.Second
	// writeTimeout is how long one message may wait for a client that does not read, but for captures.
	writeTimeout = 30 * time.Second
)

// Commands of the protocol.
const (
	commandStatus  = "status"
	commandExec    = "exec"
	commandDo      = "do"
	commandCapture = "capture"
	commandStop    = "stop"
)

// hello begins a connection. The files of an exec come with it.
type hello struct {
	Version int `json:"version"`
}

// request says what is asked.
type request struct {
	Command string       `json:"command"`
	Exec    *Command     `json:"exec,omitempty"`
	Do      string       `json:"do,omitempty"`
	Capture *captureSpec `json:"capture,omitempty"`
}

// Command is what to start in a node.
type Command struct {
	Node string   `json:"node"`
	Path string   `json:"path"` // absolute
	Args []string `json:"args"` // the first is the name by which it was called
	Env  []string `json:"env"`
	// Dir is absolute; where it is empty, or the holder cannot enter it, the command starts in /.
	Dir string `json:"dir"`
	// Terminal says that the files are a terminal that shall be the command's own.
	Terminal bool `json:"terminal"`
}

type captureSpec struct {
	Links []string `json:"links"` // node.interface; none for all
}

// more is what a client says later.
type more struct {
	Signal int  `json:"signal,omitempty"`
	Stop   bool `json:"stop,omitempty"`
}

// reply is one message of the holder's, on a line of its own. Which fields there are depends on the command.
type reply struct {
	Error *Failure `json:"error,omitempty"`
	// Done ends the connection.
	Done       bool    `json:"done,omitempty"`
	Status     *Status `json:"status,omitempty"`
	Started    bool    `json:"started,omitempty"`
	Heard      bool    `json:"heard,omitempty"` // of a signal for an exec, or while something is done
	ExitStatus int     `json:"exit_status,omitempty"`
	Text       string  `json:"text,omitempty"`
	Packets    uint64  `json:"packets,omitempty"`
	Dropped    uint64  `json:"dropped,omitempty"`
	Unseen     uint64  `json:"unseen,omitempty"`
	// Bytes is how much of a capture follows behind the line of this message, as it is.
	Bytes   int               `json:"bytes,omitempty"`
	Profile map[string]string `json:"profile,omitempty"` // Wireshark's files by name
}

// Kind says whose fault a failure is.
type Kind string

// The kinds of failures.
const (
	KindUsage    Kind = "usage"     // what was asked for does not make sense
	KindInternal Kind = "internal"  // something failed
	KindNotFound Kind = "not-found" // the command does not exist
	KindNoStart  Kind = "no-start"  // the command cannot be started
)

// Failure is why the holder does not do what it was asked.
type Failure struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

func (f *Failure) Error() string { return f.Text }

func usage(format string, args ...any) *Failure {
	return &Failure{KindUsage, fmt.Sprintf(format, args...)}
}

// failureOf makes any error one that can be sent.
func failureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{KindInternal, err.Error()}
}

// socketPathMax is the longest path that a socket's address has room for, in bytes.
const socketPathMax = 107

// withSocketPath calls f with the path of a lab's control socket, or with another path of the same file where that one
// is too long for an address.
func withSocketPath(id string, f func(path string) error) error {
	path := filepath.Join(netns.Folder(id), controlFile)
	if len(path) <= socketPathMax {
		return f(path)
	}
	dir, err := os.OpenFile(netns.Folder(id), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // nothing was written
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), controlFile))
}

// peer asks the kernel who is at the other end.
func peer(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return nil, err
	}
	return cred, credErr
}

// hungUp says that the other end of a connection is closed. What it has said and nobody has read is no matter.
func hungUp(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, _ := unix.Poll(fds, 0) // one that is interrupted has seen nothing
		gone = n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}

// receiveHello reads the beginning of a connection, with the files that come with it. What follows is read from the
// reader that it answers.
func receiveHello(conn *net.UnixConn) (*json.Decoder, hello, []*os.File, error) {
	buffer, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(3*4))
	n, controlBytes, _, _, err := conn.ReadMsgUnix(buffer, control)
	if err != nil {
		return nil, hello{}, nil, err
	}
	var files []*os.File
	messages, err := unix.ParseSocketControlMessage(control[:controlBytes])
	for _, m := range messages {
		descriptors, rightsErr := unix.ParseUnixRights(&m)
		err = errors.Join(err, rightsErr)
		for _, fd := range descriptors {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "client"))
		}
	}
	d := json.NewDecoder(io.LimitReader(io.MultiReader(bytes.NewReader(buffer[:n]), conn), requestBytesMax))
	var h hello
	if err == nil {
		err = d.Decode(&h)
	}
	if err != nil {
		closeAll(files)
		return nil, hello{}, nil, err
	}
	return d, h, files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // they are the client's, who knows what became of them
	}
}
