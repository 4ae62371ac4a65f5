package ike

import "github.com/ikelab/ikelab/ike/wire"

type childSA struct {
	ike           *ikeSA
	child         string
	spiIn, spiOut uint32
	deleting      bool
}

func espSPI(uint32) string                                                               { return "" }
func (m *Machine) initRequest(Datagram, wire.Header)                                     {}
func (m *Machine) initResponse(*ikeSA, Datagram, *wire.Message)                          {}
func (m *Machine) initBegin(*ikeSA)                                                      {}
func (m *Machine) authRequest(*ikeSA, Datagram, wire.Header, []wire.Payload)             {}
func (m *Machine) authResponse(*ikeSA, Datagram, []wire.Payload)                         {}
func (m *Machine) informationalRequest(*ikeSA, Datagram, wire.Header, []wire.Payload)    {}
func (m *Machine) informationalResponse(*ikeSA, []wire.Payload)                          {}
func (m *Machine) createChildRequest(*ikeSA, Datagram, wire.Header)                      {}
func (m *Machine) malformedResponse(*ikeSA, error)                                       {}
func (m *Machine) malformedRequest(*ikeSA, Datagram, wire.Header, error)                 {}
func (m *Machine) refuse(*ikeSA, Datagram, wire.Header, wire.NotifyType, []byte, string) {}
func (m *Machine) unopened(*ikeSA, Datagram, *wire.Message, error)                       {}
func (m *Machine) invalidMajorVersion(Datagram, wire.Header)                             {}
func (m *Machine) replyUnprotected(Datagram, wire.Header, *wire.Notify, string)          {}
func (m *Machine) startTasks(*ikeSA)                                                     {}
func (m *Machine) checkLiveness(*ikeSA, string)                                          {}
func (m *Machine) lifetime(Lifetime)                                                     {}
func (m *Machine) removeChild(sa *ikeSA, c *childSA, in, out uint32, why string)         {}
func (m *Machine) childFailed(sa *ikeSA, name, why string, more ...Field)                {}
