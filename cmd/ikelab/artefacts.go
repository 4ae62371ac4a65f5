package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/capture"
	"github.com/ikelab/ikelab/sim/report"
	"github.com/ikelab/ikelab/topology"
)

// Names below --out.
const (
	resultFile   = "result.json"
	traceFile    = "trace.jsonl"
	captureFile  = "capture.pcapng"
	ladderFile   = "ladder.txt"
	wiresharkDir = "wireshark"
)

// artefactNames are those of everything that a run leaves.
var artefactNames = []string{resultFile, traceFile, captureFile, ladderFile, wiresharkDir}

// artefacts are the files that a run leaves. Trace and capture are written while it runs, so that their size is
// bounded by the disk and not by memory. Keys are in most of them, and what was protected is in the capture: they are
// their owner's alone.
type artefacts struct {
	dir         *privateFolder
	wireshark   *privateFolder
	trace       *streamed
	captureFile *streamed
	capture     *capture.Writer
	interfaces  [][]int // the capture's number of a node's interface
	captureFail error
}

var _ sim.Tap = (*artefacts)(nil)

// createArtefacts makes the directory and the files that a run streams to. What an earlier run left under the names
// of ours goes; anything else in the directory stays. warn hears at once, from any goroutine, of a file that the run
// cannot go on writing.
func createArtefacts(dir string, plan *topology.Plan, warn func(error)) (*artefacts, error) {
	folder, err := openPrivate(dir, artefactNames...)
	if err != nil {
		return nil, err
	}
	a := &artefacts{dir: folder}
	for _, name := range []string{resultFile, ladderFile} {
		if err == nil {
			err = folder.remove(name)
		}
	}
	if err == nil {
		a.wireshark, err = folder.folder(wiresharkDir)
	}
	if err == nil {
		a.trace, err = stream(folder, traceFile, warn)
	}
	if err == nil {
		a.captureFile, err = stream(folder, captureFile, warn)
	}
	if err != nil {
		a.abandon()
		return nil, err
	}
	a.capture = capture.NewWriter(a.captureFile, plan.Lab.Epoch)
	for _, n := range plan.Nodes {
		numbers := make([]int, len(n.Interfaces))
		for i, f := range n.Interfaces {
			numbers[i] = a.capture.AddInterface(n.Name + "." + f.Name)
		}
		a.interfaces = append(a.interfaces, numbers)
	}
	return a, nil
}

// Packet implements sim.Tap.
func (a *artefacts) Packet(at time.Duration, node, iface int, _ impair.Direction, packet []byte) {
	if a.captureFail == nil {
		a.captureFail = a.capture.Packet(at, a.interfaces[node][iface], packet)
	}
}

// finish writes the rest and closes everything. The gaps are what Wireshark will not show decrypted. What was warned of is
// no part of the error, but makes one if there is no other: each file is complained of once.
func (a *artefacts) finish(run *sim.Run, result *sim.Result) ([]capture.Gap, error) {
	gaps, err := capture.WriteProfile(func(name string) (io.WriteCloser, error) {
		return a.wireshark.create(name)
	}, result.IKEKeys, result.ESPKeys)

	var ladder, document bytes.Buffer
	err = errors.Join(err,
		report.Ladder(screen.New(&ladder, false), result, report.Options{}),
		writeJSON(&document, result),
		a.dir.write(ladderFile, ladder.Bytes()),
		a.dir.write(resultFile, document.Bytes()),
		a.trace.finish(run.Trace().Err()),
		a.captureFile.finish(cmp.Or(a.captureFail, a.capture.Close())),
	)
	if err == nil && (a.trace.warned != nil || a.captureFile.warned != nil) {
		err = fmt.Errorf("%s lacks what could not be written", a.dir.path)
	}
	return gaps, err
}

// abandon closes what is still open, for a run that came to nothing.
func (a *artefacts) abandon() {
	for _, folder := range []*privateFolder{a.wireshark, a.dir} {
		if folder != nil {
			_ = folder.close() // nothing is written through it any more
		}
	}
	for _, s := range []*streamed{a.trace, a.captureFile} {
		if s != nil {
			_ = s.file.Close() // the error that led here is the one to report
		}
	}
}

// streamed is a file that is written while a run goes on.
type streamed struct {
	*bufio.Writer
	file   *os.File
	warn   func(error)
	warned error // what warn was told
}

func stream(folder *privateFolder, name string, warn func(error)) (*streamed, error) {
	f, err := folder.create(name)
	if err != nil {
		return nil, err
	}
	s := &streamed{file: f, warn: warn}
	s.Writer = bufio.NewWriterSize(streamedFile{s}, 1<<16)
	return s, nil
}

// streamedFile is behind the buffer, which gives up after the first error.
type streamedFile struct{ of *streamed }

// Write implements io.Writer.
func (f streamedFile) Write(b []byte) (int, error) {
	n, err := f.of.file.Write(b)
	if err != nil && f.of.warn != nil {
		f.of.warned = err
		f.of.warn(err)
	}
	return n, err
}

// finish writes the rest and closes the file. It answers one error: that of who wrote to it, or of the file itself; and
// none that somebody was warned of.
func (s *streamed) finish(writing error) error {
	s.warn = nil
	err := cmp.Or(writing, s.Flush())
	err = cmp.Or(err, s.file.Close())
	if s.warned != nil && errors.Is(err, s.warned) {
		return nil
	}
	return err
}
