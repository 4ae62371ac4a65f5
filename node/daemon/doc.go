// Package daemon runs other people's IKE daemons as nodes: so far strongSwan's
// charon, so that our own node has a real peer.
//
// A daemon is not installed. `make daemons` unpacks the distribution's packages into
// a cache, and Find finds them there. Start puts the daemon into a network namespace
// that somebody else made, and into a mount namespace of its own: the paths that
// were compiled into it lead into the unpacked tree, and /run is its own, so that
// any number of daemons run side by side and none meets one of the host.
//
// # The data plane
//
// ESP is strongSwan's own, in user space (its plug-in kernel-libipsec with a TUN
// device ipsec0): it works on kernels without ESP. It knows tunnel mode only and
// always encapsulates in UDP, for which it claims a NAT where there is none (a
// NAT_DETECTION_SOURCE_IP that cannot match); a peer must take that as what it is.
// It knows no extended sequence numbers.
// The plug-in kernel-netlink is beside it for addresses and routes.
//
// # A peer for our node
//
// Nothing of charon has to be turned off for ike.Machine. What charon offers and the
// machine does not speak yet it is not asked for: fragmentation, MOBIKE (its
// MOBIKE_SUPPORTED goes unanswered), redirects, message ID synchronisation. One thing
// it asks for unasked: CREATE_CHILD_SA, to rekey when rekey_time is over (an hour for
// a child, four for an IKE SA) and to make a further child. The machine refuses with
// NO_ADDITIONAL_SAS, whereupon charon deletes the IKE SA and makes a new one when it
// wanted to rekey, for which the tunnel is gone for two round trips, and gives up
// when it wanted a further child.
//
// Charon 5.9.8 may lose the answer to its IKE_SA_INIT when that comes before it has
// put the new IKE SA into its table, as it does from a peer on the same machine; its
// retransmission, after 4 s by default, makes up for that.
//
// # What this is not
//
// It renders nothing: strongSwan's configuration is written by hand. It knows no
// lab and is no node of a run yet. It sees what the daemon says through swanctl, not
// through vici's event stream.
//
// # What must stay true
//
//   - Nothing is written to the host outside Config.Dir, nothing is left mounted,
//     and no daemon outlives the process that started it, however that ends.
//   - A daemon that Start returns answers, with its connections loaded.
//   - Every wait has a condition and ends with its context.
package daemon
