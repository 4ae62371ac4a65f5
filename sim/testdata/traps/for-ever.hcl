# keyingtries = 0 tries for ever: until the peer, or this end's own link, is there.
lab "for-ever" { duration = "14s" }
variable "late" {
  type    = string
  default = "peer"
}
network "l" { prefix = "10.1.0.0/24" }
network "w" { prefix = "192.0.2.0/24" }
network "r" { prefix = "10.2.0.0/24" }
node "a" {
  interface "l" { network = network.l }
  interface "w" {
    network = network.w
    up      = var.late != "own"
  }
  connection "b" {
    remote_addrs       = [node.b.interface.w]
    keyingtries        = 0
    retransmit_timeout = "200ms"
    retransmit_tries   = 0
    child "n" {
      local_ts     = [network.l]
      remote_ts    = [network.r]
      start_action = "start"
    }
  }
}
node "b" {
  interface "w" {
    network = network.w
    up      = var.late != "peer"
  }
  interface "r" { network = network.r }
  connection "a" {
    remote_addrs = [node.a.interface.w]
    child "n" {
      local_ts  = [network.r]
      remote_ts = [network.l]
    }
  }
}
secret "s" { secret = "x" }
step "there" {
  at     = "4s"
  action = var.late == "peer" ? link_up(node.b.interface.w) : link_up(node.a.interface.w)
}
expect "it is up when both are there, after a few tries" {
  condition = alltrue([
    result.node.a.connection.b.established, result.node.a.connection.b.child.n.installed,
    result.node.a.connection.b.failed_count <= 4, event_count({ event = "ike-retry", node = node.a }) <= 4,
  ])
}
