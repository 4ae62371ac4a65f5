# Flows and steps.
lab "flows" {
  duration = "10s"
  invariants { off = ["no-replays"] } # want: Did you mean "no-replay"?
}
network "lan" { prefix = "10.1.0.0/16" }
network "far" { prefix = "10.2.0.0/16" }
network "six" { prefix = "2001:db8:6::/64" }
node "a" {
  interface "lan" { network = network.lan }
}
node "b" {
  interface "lan" { network = network.lan }
}
node "alone" {
  interface "far" { network = network.far }
}
node "six" {
  interface "six" { network = network.six }
}
node "router" {
  interface "lan" { network = network.lan }
  interface "six" { network = network.six }
  route {
    to  = "10.9.0.0/16"
    via = "10.2.0.1" # want: Next hop is not on a link: 10.2.0.1 is in no network of node.router
  }
  route {
    to  = "10.9.0.0/16"
    via = node.six.interface.six # want: Next hop of the other family
  }
  route { # want: Missing via
    to = "10.10.0.0/16"
  }
  route {
    to        = "10.10.0.0/16"
    interface = node.a.interface.lan # want: node.a.interface.lan is not an interface of node.router
  }
  route {
    to  = "default"
    via = node.a.interface.lan
  }
  route {
    to  = "default" # want: Duplicate route
    via = node.a
  }
}
flow "alone" {
  from = node.a
  to   = node.alone # want: No route: node.a has no route to node.alone
}
flow "families" {
  from = node.a
  to   = node.six # want: No route: node.a has no route to node.six
}
flow "self" {
  from = node.a
  to   = node.a.interface.lan # want: Flow to itself
}
flow "nobody" {
  from = node.a
  to   = "10.1.77.77" # want: Nobody has this address
}
flow "backwards" {
  from  = node.a
  to    = node.b
  start = "5s"
  stop  = "2s" # want: Flow stops before it starts
}
flow "late" {
  from  = node.a
  to    = node.b
  start = "11s" # want: Flow beyond the lab's end
}
flow "ports" {
  from             = node.a
  to               = node.b
  source_port      = 5000
  destination_port = 5000
}
flow "ports-again" {
  from             = node.a
  to               = node.b
  source_port      = 5000 # want: Duplicate flow: flow.ports goes from 10.1.0.1:5000 to 10.1.0.2:5000
  destination_port = 5000
}
flow "icmp-port" {
  from             = node.a
  to               = node.b
  protocol         = "icmp"
  destination_port = 5000 # want: destination_port is not for icmp
}
flow "empty" {
  from = node.a
  to   = node.b
  size = 0 # want: size is 0; it lies between 20 and 65507
  rate = "1mbit"
}
flow "nowhere" { # want: Missing to
  from     = node.a
  protocol = "upd" # want: There is no protocol "upd"
}
step "late" {
  at     = "11s" # want: Step beyond the lab's end
  action = link_down(node.a.interface.lan)
}
step "never" { # want: Missing at
  action = link_down(node.a.interface.lan)
}
step "both" {
  at     = "1s"
  on     = { event = "ike-established" } # want: at and on exclude each other
  action = link_down(node.a.interface.lan)
}
step "after" {
  at     = "1s"
  after  = "1s" # want: after is for on
  action = link_down(node.a.interface.lan)
}
step "event" {
  on     = { event = "ike-establish" } # want: There is no event "ike-establish". Did you mean "ike-established"?
  action = link_down(node.a.interface.lan)
}
step "connection" {
  on     = { event = "ike-established", connection = "gw" } # want: No node has a connection "gw"
  action = link_down(node.a.interface.lan)
}
step "field" {
  on     = { event = "ike-established", count = 2 } # want: There is no attribute "count"
  action = link_down(node.a.interface.lan)
}
step "nth" {
  on     = { nth = 0 } # want: nth is 0; it lies between 1 and # want: Missing event
  action = link_down(node.a.interface.lan)
}
step "nothing" { # want: Missing action
  at = "1s"
}
step "two" {
  at     = "1s"
  action = [link_down(node.a.interface.lan), link_up(node.a.interface.lan)] # want: A step has one action
}
