# A wrong pre-shared key, and a lab that expects the failure.
#
# Both gateways get as far as IKE_AUTH. There the responder finds that the initiator's AUTH
# payload was not made with the key that it has, and answers AUTHENTICATION_FAILED. Nothing
# may go through the tunnel that does not exist, and nothing may go beside it in clear.

lab "auth-failure" {
  description = "Two gateways with different pre-shared keys."
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
    link    = { delay = "10ms" }
  }
  connection "to-b" {
    remote_addrs = [node.gw-b.interface.wan]
    local { id = "a.example.org" }
    remote { id = "b.example.org" }
    child "net" {
      local_ts     = [network.a]
      remote_ts    = [network.b]
      start_action = "trap"
    }
  }
}

node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.b }
  connection "to-a" {
    remote_addrs = [node.gw-a.interface.wan]
    local { id = "b.example.org" }
    remote { id = "a.example.org" }
    child "net" {
      local_ts  = [network.b]
      remote_ts = [network.a]
    }
  }
}

node "host-b" {
  implementation = "host"
  interface "eth0" { network = network.b }
}

# Whose key is the right one is a matter of opinion; that they differ is not.
secret "of-a" {
  nodes  = [node.gw-a]
  secret = "tweedledum"
}
secret "of-b" {
  nodes  = [node.gw-b]
  secret = "tweedledee"
}

flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "1pps"
  packets  = 3
  start    = "1s"
}

expect "the initiator is told why" {
  condition     = result.node.gw-a.connection.to-b.failed == "AUTHENTICATION_FAILED"
  error_message = "gw-a says ${result.node.gw-a.connection.to-b.failed}"
}

expect "no tunnel, no traffic" {
  condition     = result.flow.ping.received == 0 && !result.node.gw-b.connection.to-a.established
  error_message = "${result.flow.ping.received} pings went through"
}
