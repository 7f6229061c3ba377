package server

import (
	"context"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
)

func wireReceiver(r authority.Receiver) api.Receiver {
	return api.Receiver{
		ReceiverID: r.ID, URL: r.URL, Audience: r.Audience, Authorization: r.Authorization != "",
		Created: wireTime(r.Created), Delivered: r.Delivered, LastDelivered: timeOrNull(r.DeliveredAt),
		Rejected: r.Rejected, Failures: r.Failures, PendingSince: timeOrNull(r.PendingAt),
		LastError: r.Error, LastErrorAt: timeOrNull(r.ErrorAt),
	}
}

func (s *server) addReceiver(ctx context.Context, r request, body api.AddReceiverRequest) (response, error) {
	receiver, err := s.authority.AddReceiver(ctx, r.caller, authority.NewReceiver{
		URL: body.URL, Audience: body.Audience, Authorization: body.Authorization,
	})
	return ok(wireReceiver(receiver)), err
}

func (s *server) listReceivers(ctx context.Context, r request, _ none) (response, error) {
	receivers, err := s.authority.Receivers(ctx, r.caller)
	list := make([]api.Receiver, len(receivers))
	for i, receiver := range receivers {
		list[i] = wireReceiver(receiver)
	}
	return ok(list), err
}

func (s *server) removeReceiver(ctx context.Context, r request, body api.ReceiverRequest) (response, error) {
	return ok(true), s.authority.RemoveReceiver(ctx, r.caller, body.ReceiverID)
}

func (s *server) testReceiver(ctx context.Context, r request, body api.ReceiverRequest) (response, error) {
	status, problem, err := s.authority.TestReceiver(ctx, r.caller, body.ReceiverID)
	return ok(api.ReceiverTest{Accepted: err == nil && problem == "", Status: status, Problem: problem}), err
}
