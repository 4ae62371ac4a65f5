// Package host runs a node on a real kernel: IKE over UDP sockets, ESP over UDP or
// raw sockets, and a TUN device for the protected side.
package host
