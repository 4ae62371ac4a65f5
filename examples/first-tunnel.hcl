# Two offices, one tunnel.
#
#   host-a -- network a -- gw-a ==== internet ==== gw-b -- network b -- host-b
#
# The gateways negotiate IKEv2 with a pre-shared key and carry what the hosts send each
# other in ESP. The line between them is slow and loses 5 % of all packets, so IKE has to
# retransmit now and then. Run it:
#
#   go run ./cmd/ikelab run examples/first-tunnel.hcl
#
# and with --out out to look at the packets in Wireshark, decrypted.

lab "first-tunnel" {
  description = "Two gateways, a host behind each, a ping and a UDP flow through the tunnel."
  seed        = 6 # another seed loses other packets; with this one IKE_AUTH has to be repeated
  duration    = "40s"
}

variable "loss" {
  type        = number
  default     = 0.05
  description = "Probability that a packet is lost on its way through gw-a's line. Try --var loss=0.3."
}

# A network is one broadcast domain. Interfaces get addresses from its prefix in the order
# of the file, unless they say which one they want.
network "a" { prefix = "10.1.0.0/16" }
network "internet" { prefix = "198.51.100.0/24" }
network "b" { prefix = "10.2.0.0/16" }

# A link lies between an interface and its network and treats both directions alike.
link "dsl" {
  delay  = "20ms"
  jitter = { distribution = "normal", sigma = "1ms" }
  loss   = { model = "random", p = var.loss }
  rate   = "16mbit"
}

# A host has no IPsec. Its default route leads to the router of its network: nobody has to
# write routes down where there is only one way.
node "host-a" {
  implementation = "host"
  interface "eth0" { network = network.a }
}

node "gw-a" {
  interface "lan" { network = network.a }
  interface "wan" {
    network = network.internet
    link    = link.dsl
  }

  # Connections and children use the words of strongSwan's swanctl.conf.
  connection "to-b" {
    remote_addrs = [node.gw-b.interface.wan]
    proposals    = ["aes256gcm16-prfsha384-x25519"]
    local { id = "a.example.org" }
    remote { id = "b.example.org" }
    child "net" {
      local_ts      = [network.a]
      remote_ts     = [network.b]
      esp_proposals = ["aes256gcm16"]
      start_action  = "start" # gw-a begins; gw-b answers
    }
  }
}

node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.b }

  connection "to-a" {
    remote_addrs = [node.gw-a.interface.wan]
    proposals    = ["aes256gcm16-prfsha384-x25519"]
    local { id = "b.example.org" }
    remote { id = "a.example.org" }
    child "net" {
      local_ts      = [network.b]
      remote_ts     = [network.a]
      esp_proposals = ["aes256gcm16"]
    }
  }
}

node "host-b" {
  implementation = "host"
  interface "eth0" { network = network.b }
}

secret "psk" {
  ids    = ["a.example.org", "b.example.org"]
  secret = "correct horse battery staple"
}

# Flows are what goes through the tunnel: an echo flow counts replies, a UDP flow what
# arrives at the other end.
flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "2pps"
  start    = "15s"
  stop     = "35s"
}

flow "call" {
  from     = node.host-b
  to       = node.host-a
  protocol = "udp"
  rate     = "50pps"
  size     = 200
  start    = "15s"
  stop     = "35s"
}

# What must come true. Measured values are under result; times are in seconds.
expect "both ends have the tunnel" {
  condition     = result.node.gw-a.connection.to-b.established && result.node.gw-b.connection.to-a.established
  error_message = "the gateways do not agree that there is a tunnel"
}

expect "most pings are answered" {
  condition     = result.flow.ping.received >= 0.7 * result.flow.ping.sent
  error_message = "only ${result.flow.ping.received} of ${result.flow.ping.sent} pings came back"
}

expect "the call is understandable" {
  condition     = result.flow.call.longest_gap < duration("500ms")
  error_message = "the call was silent for ${humanize(result.flow.call.longest_gap)}"
}

expect "the line is as slow as it should be" {
  condition     = result.flow.call.delay_min > duration("15ms") && result.flow.call.delay_p50 < duration("30ms")
  error_message = "one way took ${humanize(result.flow.call.delay_p50)} at the median, and ${humanize(result.flow.call.delay_min)} at least"
}
