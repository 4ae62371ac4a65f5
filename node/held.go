package node

// Held calls each for every packet that waits for an association at the moment, in the
// order of the policies and then of the packets. The bytes are the node's: each must
// neither keep nor change them.
func (n *Node) Held(each func(packet []byte)) {
	for _, c := range n.policies {
		for i := range c.held {
			each(c.held[i].bytes)
		}
	}
}
