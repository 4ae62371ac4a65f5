# A tunnel that comes when it is needed.
#
# With start_action = "trap" a gateway negotiates when the first packet for the tunnel shows
# up. The packet waits until the CHILD_SA is there. An operator takes the tunnel down in
# the middle, and the next packet brings it back.

lab "trap" {
  description = "A tunnel on demand, taken down once by hand."
  duration    = "20s"
}

network "a" { prefix = "10.1.0.0/16" }
network "internet" { prefix = "198.51.100.0/24" }
network "b" { prefix = "10.2.0.0/16" }

node "host-a" {
  implementation = "host"
  interface "eth0" { network = network.a }
}

node "gw-a" {
  interface "lan" { network = network.a }
  interface "wan" {
    network = network.internet
    link    = { delay = "25ms" }
  }
  connection "to-b" {
    remote_addrs = [node.gw-b.interface.wan]
    # gw-b only knows the second; the first KE payload is of the wrong group, and
    # INVALID_KE_PAYLOAD says which one it has to be.
    proposals = ["aes128-sha256-ecp256-ecp384"]
    child "net" {
      local_ts      = [network.a]
      remote_ts     = [network.b]
      esp_proposals = ["aes128-sha256"]
      start_action  = "trap"
    }
  }
}

node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.b }
  connection "to-a" {
    proposals = ["aes128-sha256-ecp384"]
    child "net" {
      local_ts      = [network.b]
      remote_ts     = [network.a]
      esp_proposals = ["aes128-sha256"]
    }
  }
}

node "host-b" {
  implementation = "host"
  interface "eth0" { network = network.b }
}

secret "psk" {
  secret = "0x00112233445566778899aabbccddeeff"
}

flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "2pps"
  start    = "5s"
  stop     = "15s"
}

step "down" {
  at     = "10.2s"
  action = terminate(node.gw-a.connection.to-b)
}

expect "nothing happens before it is needed" {
  after         = "4.9s"
  condition     = result.node.gw-a.connection.to-b.attempts == 0
  error_message = "gw-a negotiated without being asked"
}

expect "the first packet waits and is not lost" {
  condition     = result.flow.ping.lost == 0
  error_message = "${result.flow.ping.lost} pings were lost"
}

expect "the tunnel comes back by itself" {
  condition     = result.node.gw-a.connection.to-b.established_count == 2
  error_message = "there were ${result.node.gw-a.connection.to-b.established_count} IKE SAs, not 2"
}
