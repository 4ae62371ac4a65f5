# A node loses a link and goes on by another, whose address the old tunnel does not have. Its traffic is named while
# the old SA stands, and makes a new tunnel as soon as that is given up. It never leaves in clear.
lab "moved" { duration = "12s" }
variable "from" {
  type    = string
  default = "198.51.100.1"
}
network "w1" { prefix = "192.0.2.0/24" }
network "w2" { prefix = "198.51.100.0/24" }
network "r" { prefix = "10.2.0.0/24" }
node "a" {
  interface "w1" { network = network.w1 }
  interface "w2" { network = network.w2 }
  connection "b" {
    remote_addrs       = [node.b.interface.w1, node.b.interface.w2]
    dpd_delay          = "1s"
    retransmit_timeout = "500ms"
    retransmit_tries   = 1
    local { id = "a.example.org" }
    remote { id = "b.example.org" }
    child "n" {
      remote_ts    = [network.r]
      start_action = "trap"
    }
  }
}
node "b" {
  interface "w1" { network = network.w1 }
  interface "w2" { network = network.w2 }
  interface "r" { network = network.r }
  connection "a" {
    dpd_delay          = "1700ms" # not at the same instant as the other end
    retransmit_timeout = "500ms"
    retransmit_tries   = 1
    local { id = "b.example.org" }
    child "n" { local_ts = [network.r] }
  }
}
node "s" {
  implementation = "host"
  interface "e" { network = network.r }
}
secret "s" { secret = "x" }
flow "before" {
  from     = node.a.interface.w1
  to       = node.s
  protocol = "icmp"
  rate     = "5pps"
  start    = "1s"
  stop     = "3s"
}
step "cut" {
  at     = "4s"
  action = link_down(node.a.interface.w1)
}
flow "after" {
  from     = var.from == "198.51.100.1" ? node.a.interface.w2 : node.a.interface.w1
  to       = node.s
  protocol = "icmp"
  rate     = "5pps"
  start    = "4.2s"
  stop     = "11s"
}
expect "the tunnel is made anew while traffic goes on" {
  condition = result.node.a.connection.b.established_count == 2 && result.node.a.connection.b.established
}
expect "from the address that the node still has a link for, traffic goes on" {
  condition     = var.from == "198.51.100.1" ? result.flow.after.received >= 10 && result.flow.after.longest_gap < 5 : result.flow.after.received == 0
  error_message = "${result.flow.after.received} of ${result.flow.after.sent} arrived"
}
expect "what did not arrive is named" {
  condition = result.node.a.dropped >= result.flow.after.sent - result.flow.after.received
}
