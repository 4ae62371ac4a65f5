# An office gets another address from its provider, and the tunnel must follow.
#
# Without MOBIKE an IKE SA stays with the addresses that it was made between, so the move is planned: the new
# address comes beside the old one, the tunnel is taken down while both work and can still say so to its peer, the
# old address goes, and a new IKE SA is made from the new one. The peer takes anyone who knows the key, from
# wherever he comes.

lab "renumber" {
  description = "A gateway changes its address; a new IKE SA replaces the tunnel."
  duration    = "20s"
}

network "a" { prefix = "10.1.0.0/16" }
network "internet" { prefix = "198.51.100.0/24" }
network "b" { prefix = "10.2.0.0/16" }

locals {
  old = "198.51.100.10"
  new = "198.51.100.20"
}

node "host-a" {
  implementation = "host"
  interface "eth0" { network = network.a }
}

node "gw-a" {
  interface "lan" { network = network.a }
  interface "wan" {
    network = network.internet
    address = local.old
    link    = { delay = "12ms" }
  }
  connection "to-b" {
    # No local_addrs: whatever the route to the peer asks for.
    remote_addrs = [node.gw-b.interface.wan]
    proposals    = ["aes256gcm16-prfsha256-x25519"]
    dpd_delay    = "5s"
    local { id = "a.example.org" }
    remote { id = "b.example.org" }
    child "net" {
      local_ts      = [network.a]
      remote_ts     = [network.b]
      esp_proposals = ["aes256gcm16"]
      start_action  = "start"
    }
  }
}

node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.b }
  connection "to-a" {
    proposals = ["aes256gcm16-prfsha256-x25519"]
    dpd_delay = "5s"
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

secret "psk" { secret = "the key knows who you are, the address does not" }

flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "10pps"
  start    = "1s"
  stop     = "19s"
}

step "another-address" {
  at     = "6s"
  action = add_address(node.gw-a.interface.wan, local.new)
}
step "take-down" {
  at     = "8s"
  action = terminate(node.gw-a.connection.to-b)
}
step "move" {
  on     = { event = "ike-deleted", node = node.gw-a }
  after  = "300ms"
  action = set_address(node.gw-a.interface.wan, [local.new])
}
# The second change of addresses is the one that leaves the new one alone.
step "bring-up" {
  on     = { event = "address-changed", node = node.gw-a, nth = 2 }
  after  = "300ms"
  action = initiate(node.gw-a.connection.to-b)
}

expect "another address disturbs nothing" {
  after     = "7.9s"
  condition = result.flow.ping.lost == 0 && result.node.gw-a.connection.to-b.established_count == 1
}

expect "the tunnel stands again" {
  condition = alltrue([
    result.node.gw-a.connection.to-b.established,
    result.node.gw-a.connection.to-b.established_count == 2,
    result.node.gw-b.connection.to-a.established_count == 2,
  ])
}

expect "the move takes less than two seconds" {
  condition     = result.flow.ping.longest_gap < duration("2s")
  error_message = "the office was cut off for ${humanize(result.flow.ping.longest_gap)}"
}

expect "nothing is left of the old tunnel" {
  condition = event_count({ event = "ike-deleted", node = node.gw-b }) == 1
}
