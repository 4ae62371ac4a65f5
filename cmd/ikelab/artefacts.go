package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

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

// artefacts are the files that a run leaves. Trace and capture are written while it runs, so that their size is
// bounded by the disk and not by memory.
type artefacts struct {
	dir         string
	traceOut    *os.File
	captureOut  *os.File
	trace       *bufio.Writer
	captureBuf  *bufio.Writer
	capture     *capture.Writer
	interfaces  [][]int // the capture's number of a node's interface
	captureFail error
}

var _ sim.Tap = (*artefacts)(nil)

// createArtefacts makes the directory and the files that a run streams to. What an earlier run left under the names
// of ours goes; anything else in the directory stays.
func createArtefacts(dir string, plan *topology.Plan) (*artefacts, error) {
	if err := os.MkdirAll(filepath.Join(dir, wiresharkDir), 0o755); err != nil {
		return nil, err
	}
	for _, name := range []string{resultFile, ladderFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	a := &artefacts{dir: dir}
	var err error
	if a.traceOut, err = os.Create(filepath.Join(dir, traceFile)); err != nil {
		return nil, err
	}
	if a.captureOut, err = os.Create(filepath.Join(dir, captureFile)); err != nil {
		a.abandon()
		return nil, err
	}
	a.trace = bufio.NewWriterSize(a.traceOut, 1<<16)
	a.captureBuf = bufio.NewWriterSize(a.captureOut, 1<<16)
	a.capture = capture.NewWriter(a.captureBuf, plan.Lab.Epoch)
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

// finish writes the rest and closes everything. The gaps are what Wireshark will not show decrypted.
func (a *artefacts) finish(run *sim.Run, result *sim.Result) ([]capture.Gap, error) {
	gaps, err := capture.WriteProfile(func(name string) (io.WriteCloser, error) {
		return os.Create(filepath.Join(a.dir, wiresharkDir, name))
	}, result.IKEKeys, result.ESPKeys)

	var ladder, document bytes.Buffer
	err = errors.Join(err,
		report.Ladder(&ladder, result, report.Options{}),
		writeJSON(&document, result),
		os.WriteFile(filepath.Join(a.dir, ladderFile), ladder.Bytes(), 0o644),
		os.WriteFile(filepath.Join(a.dir, resultFile), document.Bytes(), 0o644),
		run.Trace().Err(),
		a.trace.Flush(),
		a.traceOut.Close(),
		a.captureFail,
		a.capture.Close(),
		a.captureBuf.Flush(),
		a.captureOut.Close(),
	)
	a.traceOut, a.captureOut = nil, nil
	return gaps, err
}

// abandon closes what is still open, for a run that came to nothing.
func (a *artefacts) abandon() {
	for _, f := range []*os.File{a.traceOut, a.captureOut} {
		if f != nil {
			_ = f.Close() // the error that led here is the one to report
		}
	}
}
