package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// errEnded says that a daemon was asked after Close or Kill.
var errEnded = errors.New("the daemon has been ended")

// Swanctl runs swanctl(8) against this daemon and answers what it printed. The error
// quotes swanctl.
func (c *Charon) Swanctl(ctx context.Context, args ...string) (string, error) {
	c.using.RLock()
	defer c.using.RUnlock()
	if c.left {
		return "", errEnded
	}
	cmd := c.command(ctx, swanctlPath, args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := c.place.do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return out.String(), fmt.Errorf("swanctl %q: %w: %s", args, err,
			lastLines(out.String()+complaints.String(), 10))
	}
	return out.String(), nil
}

// Load makes the daemon's connections, secrets and pools those that its
// swanctl/swanctl.conf has now. Existing SAs stay.
func (c *Charon) Load(ctx context.Context) error {
	_, err := c.Swanctl(ctx, "--load-all", "--noprompt")
	return err
}

// Initiate brings a child of the configuration up, and its IKE SA if there is none.
// It returns when both are established, or with an error when they failed.
func (c *Charon) Initiate(ctx context.Context, child string) error {
	_, err := c.Swanctl(ctx, "--initiate", "--child", child)
	return err
}

// TerminateChild deletes the CHILD SAs of that name and waits until the peer has
// answered.
func (c *Charon) TerminateChild(ctx context.Context, child string) error {
	_, err := c.Swanctl(ctx, "--terminate", "--child", child)
	return err
}

// TerminateIKE deletes the IKE SAs of a connection and waits until the peer has
// answered.
func (c *Charon) TerminateIKE(ctx context.Context, connection string) error {
	_, err := c.Swanctl(ctx, "--terminate", "--ike", connection)
	return err
}

// SAs lists the daemon's IKE SAs with their children.
func (c *Charon) SAs(ctx context.Context) ([]SA, error) {
	text, err := c.Swanctl(ctx, "--list-sas", "--pretty")
	if err != nil {
		return nil, err
	}
	return parseSAs(text)
}
