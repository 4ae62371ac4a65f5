package ike

import (
	"crypto/subtle"
	"fmt"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// secretFor is the pre-shared key for a pair of identities, as swanctl finds it: a
// secret without IDs is for anyone; one with IDs must name either end, and one that
// names the peer is better than one that names this end.
func (m *Machine) secretFor(local, peer Identity) ([]byte, bool) {
	var key []byte
	best := 0
	for _, s := range m.cfg.Secrets {
		if score := s.score(local, peer); score > best {
			best, key = score, s.Key
		}
	}
	return key, best > 0
}

// score is how well a secret fits a pair, 0 for not at all: the peer counts more.
func (s Secret) score(local, peer Identity) int {
	if len(s.IDs) == 0 {
		return 3 + 1
	}
	return 3*s.names(peer) + s.names(local)
}

// names is 2 when the secret lists the identity, 1 when it lists %any, 0 otherwise.
func (s Secret) names(id Identity) int {
	best := 0
	for _, have := range s.IDs {
		switch {
		case have.IsZero():
			best = max(best, 1)
		case have.Equal(id):
			best = 2
		}
	}
	return best
}

// authPayload proves an identity with a pre-shared key (RFC 7296 §2.15).
func (sa *ikeSA) authPayload(byInitiator bool, id *wire.ID, key []byte) *wire.Auth {
	return &wire.Auth{Method: wire.AuthSharedKey, Data: suite.AuthPSK(sa.keys.prf, key, sa.signedOctets(byInitiator, id))}
}

// verify checks the peer's AUTH payload, which covers its ID payload as it was
// received, RESERVED included (RFC 7296 §2.15). The error is for the record alone, the
// peer only learns AUTHENTICATION_FAILED.
func (m *Machine) verify(sa *ikeSA, auth *wire.Auth, local Identity, id *wire.ID) error {
	peer := identityOf(id)
	if auth.Method != wire.AuthSharedKey {
		return fmt.Errorf("%s authenticates with %s, a pre-shared key is needed", peer.Typed(), auth.Method)
	}
	key, ok := m.secretFor(local, peer)
	if !ok {
		return fmt.Errorf("there is no pre-shared key for %s and %s", local.Typed(), peer.Typed())
	}
	want := sa.authPayload(!sa.initiator, id, key)
	if subtle.ConstantTimeCompare(want.Data, auth.Data) != 1 {
		return fmt.Errorf("AUTH of %s does not verify: the pre-shared keys differ, or IKE_SA_INIT was changed on the way", peer.Typed())
	}
	return nil
}

// localIdentity is who this end says it is on a connection.
func (sa *ikeSA) localIdentity(c *connection) Identity {
	if c.Local.ID.IsZero() {
		return AddrIdentity(sa.local.Addr())
	}
	return c.Local.ID
}
