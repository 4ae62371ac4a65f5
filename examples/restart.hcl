# A gateway dies and comes back with nothing in its memory.
#
# gw-b is killed as by kill -9: it says goodbye to nobody. gw-a goes on sealing packets that nobody can open
# until its peer has been silent for dpd_delay. Then it asks for a sign of life, repeats the question, gives up
# and forgets the tunnel. The next packet meets the trap and brings a new one, with gw-b's next life.

lab "restart" {
  description = "A gateway is killed and started again; its peer notices, and the tunnel comes back."
  duration    = "40s"
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
    link    = { delay = "15ms" }
  }
  connection "to-b" {
    remote_addrs = [node.gw-b.interface.wan]
    proposals    = ["aes256gcm16-prfsha256-x25519"]
    # A question and two repetitions: 1 s + 2 s + 4 s without an answer.
    dpd_delay          = "3s"
    retransmit_timeout = "1s"
    retransmit_base    = 2
    retransmit_tries   = 2
    child "net" {
      local_ts      = [network.a]
      remote_ts     = [network.b]
      esp_proposals = ["aes256gcm16"]
      start_action  = "trap"
    }
  }
}

node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.b }
  connection "to-a" {
    proposals = ["aes256gcm16-prfsha256-x25519"]
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

secret "psk" { secret = "what a gateway forgets, its peer must notice" }

flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "4pps"
  start    = "1s"
  stop     = "35s"
}

step "kill" {
  at     = "10s"
  action = kill(node.gw-b)
}
step "start" {
  on     = { event = "node-killed", node = node.gw-b }
  after  = "4s"
  action = start(node.gw-b)
}

expect "the tunnel stands until the kill" {
  after     = "9.9s"
  condition = result.node.gw-a.connection.to-b.established && result.flow.ping.lost == 0
}

# The last packet from gw-b came just before 10 s; then 3 s of silence and 7 s of questions.
expect "gw-a notices by itself" {
  condition     = event_time({ event = "ike-deleted", node = node.gw-a }) < duration("21s")
  error_message = "gw-a kept a dead tunnel until ${humanize(event_time({ event = "ike-deleted", node = node.gw-a }))}"
}

expect "the tunnel comes back with the next life of gw-b" {
  condition = alltrue([
    result.node.gw-a.connection.to-b.established_count == 2,
    result.node.gw-b.connection.to-a.established_count == 2,
    result.node.gw-b.connection.to-a.established,
    event_count({ event = "node-started", node = node.gw-b }) == 1,
  ])
}

expect "the traffic is back" {
  condition     = result.flow.ping.longest_gap < duration("11.5s")
  error_message = "nothing came back for ${humanize(result.flow.ping.longest_gap)}"
}
