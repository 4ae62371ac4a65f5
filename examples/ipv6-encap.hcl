# IPv6 inside and outside, ESP in UDP.
#
# encap = true makes the gateways carry ESP in UDP port 4500 (RFC 3948) although no NAT is
# in the way, as one does where a firewall lets nothing but UDP pass.

lab "ipv6-encap" {
  description = "Two gateways that speak IPv6, with UDP encapsulation forced."
  duration    = "15s"
}

network "a" { prefix = "2001:db8:a::/64" }
network "internet" { prefix = "2001:db8::/64" }
network "b" { prefix = "2001:db8:b::/64" }

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
    encap        = true
    dpd_delay    = "3s" # ask for a sign of life when nothing has come for so long
    child "net" {
      local_ts     = [network.a]
      remote_ts    = [network.b]
      start_action = "start"
    }
  }
}

node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.b }
  connection "to-a" {
    remote_addrs = [node.gw-a.interface.wan]
    encap        = true
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

secret "psk" {
  secret = "six by nine"
}

flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "4pps"
  packets  = 20
  start    = "1s"
}

flow "bulk" {
  from     = node.host-b
  to       = node.host-a
  protocol = "udp"
  rate     = "100pps"
  size     = 1200
  start    = "1s"
  packets  = 500
}

expect "ESP travels in UDP" {
  condition     = result.node.gw-a.connection.to-b.encap && result.node.gw-b.connection.to-a.encap
  error_message = "ESP is not encapsulated"
}

expect "everything arrives" {
  condition     = result.flow.ping.lost == 0 && result.flow.bulk.lost == 0
  error_message = "${result.flow.ping.lost} pings and ${result.flow.bulk.lost} datagrams were lost"
}
