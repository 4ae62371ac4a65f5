package main

import (
	"errors"
	"fmt"
)

// Exit statuses. Scripts rely on them.
const (
	exitOK          = 0   // everything held
	exitFailed      = 1   // an expectation or an invariant failed
	exitUsage       = 2   // the lab or the command line is wrong
	exitCapability  = 3   // this host, or decode, lacks something, named
	exitInternal    = 4   // an internal or IO error
	exitInterrupted = 130 // a signal ended the run
)

// statusError carries the exit status that an error asks for. An empty message means that everything is said.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// silent ends the program with a status, everything being said.
func silent(status int) error { return &statusError{status: status} }

// usageError says that the lab or the command line is wrong.
func usageError(format string, args ...any) error {
	return &statusError{exitUsage, fmt.Errorf(format, args...)}
}

// capabilityError says what this host lacks and what cures it.
func capabilityError(format string, args ...any) error {
	return &statusError{exitCapability, fmt.Errorf(format, args...)}
}

// internalError says that IO or ikelab itself failed.
func internalError(format string, args ...any) error {
	return &statusError{exitInternal, fmt.Errorf(format, args...)}
}

// statusOf is the exit status for an error. What carries none comes from cobra and is about the command line.
func statusOf(err error) int {
	if err == nil {
		return exitOK
	}
	var lack interface{ HostLacks() string }
	if errors.As(err, &lack) {
		return exitCapability // whoever it went through
	}
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	return exitUsage
}
