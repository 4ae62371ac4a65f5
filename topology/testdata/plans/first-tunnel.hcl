# Two gateways, a host behind each, and the defaults of everything.
lab "first-tunnel" {
  description = "Two gateways and a ping."
  seed        = 7
  duration    = "20s"
  invariants { off = ["no-orphan-sa"] }
}

variable "loss" {
  type    = number
  default = 0.05
}

network "office-a" { prefix = "10.1.0.0/16" }
network "internet" { prefix = "198.51.100.0/24" }
network "office-b" { prefix = "10.2.0.0/16" }

link "dsl" {
  delay  = "10ms"
  jitter = { distribution = "normal", sigma = "1ms", keep_order = true }
  loss   = { p = var.loss }
  rate   = "80mbit"
  queue  = { limit = "100p" }
  mtu    = 1492
}

node "host-a" {
  implementation = "host"
  interface "eth0" { network = network.office-a }
}
node "gw-a" {
  interface "lan" { network = network.office-a }
  interface "wan" {
    network = network.internet
    link    = link.dsl
  }
  connection "to-b" {
    local_addrs        = [node.gw-a.interface.wan]
    remote_addrs       = [node.gw-b.interface.wan]
    proposals          = ["aes256gcm16-prfsha384-x25519", "aes128-sha256-modp2048"]
    encap              = true
    dpd_delay          = "30s"
    keep_alive         = "0s"
    keyingtries        = 3
    retransmit_timeout = "2s"
    retransmit_base    = 1.5
    retransmit_tries   = 4
    retransmit_limit   = "10s"
    local { id = "gw-a.example.org" }
    remote { id = "@gw-b.example.org" }
    child "net" {
      local_ts      = [network.office-a]
      remote_ts     = [network.office-b, "10.9.0.0/16[tcp/443]", "10.9.0.0/16[udp/1024-65535]"]
      esp_proposals = ["aes256gcm16-esn"]
      start_action  = "trap"
      replay_window = 128
    }
  }
}
node "gw-b" {
  interface "lan" {
    network = network.office-b
    address = "10.2.0.254/16"
  }
  interface "wan" {
    network = network.internet
    link    = { delay = link.dsl.delay * 2, loss = { model = "none" } }
    mtu     = 1400
  }
  connection "to-a" {
    remote_addrs = ["198.51.100.1"]
    local { id = "gw-b.example.org" }
    remote { id = "gw-a.example.org" }
    child "net" {
      local_ts  = [network.office-b]
      remote_ts = [network.office-a]
    }
  }
}
node "host-b" {
  implementation = "host"
  interface "eth0" {
    network = network.office-b
    address = cidrhost(network.office-b.prefix, 9)
  }
}

secret "psk" {
  secret = "0x0102ff"
  ids    = ["gw-a.example.org", "gw-b.example.org"]
}

flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "2pps"
  packets  = 20
}
flow "call" {
  from             = node.host-a.interface.eth0
  to               = node.host-b.interface.eth0.address
  rate             = "64kbit"
  size             = 160
  start            = "2s"
  stop             = "18s"
  destination_port = 5004
}
flow "slower" {
  from  = node.host-b
  to    = node.host-a
  rate  = flow.ping.rate / 3
  start = flow.call.start + 1
}

step "cut" {
  at     = "10s"
  action = link_down(node.gw-a.interface.wan)
}
step "mend" {
  on     = { event = "retransmit", connection = node.gw-a.connection.to-b, nth = 2 }
  after  = "500ms"
  action = link_up(node.gw-a.interface.wan)
}
step "end" {
  at     = "19s"
  action = terminate(node.gw-a.connection.to-b.child.net)
}

expect "established" {
  condition = result.node.gw-a.connection.to-b.established
}
expect "soon" {
  condition = event_time({ event = "ike-established", node = node.gw-a }) < duration("1s")
  within    = "5s"
  after     = "1s"
}
