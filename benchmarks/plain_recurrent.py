"""The recurrent networks as one would write them by hand in PyTorch: what ours are timed against."""

import torch
from torch import nn


class EleAttGRU(nn.Module):
    """The element-wise attention gate in front of a GRU that resets first (EleAttG, eq. 4 and 7)."""

    def __init__(self, channels, units):
        super().__init__()
        self.gate_x = nn.Linear(channels, channels)
        self.gate_h = nn.Linear(units, channels, bias=False)
        self.gru_x = nn.Linear(channels, 3 * units)
        self.gru_h = nn.Linear(units, 2 * units, bias=False)
        self.gru_r = nn.Linear(units, units, bias=False)
        self.units = units

    def forward(self, clips):
        """The last state `(B, units)` of clips `(B, T, channels)`."""
        h = clips.new_zeros(len(clips), self.units)
        for x in clips.unbind(1):
            x = x * torch.sigmoid(self.gate_x(x) + self.gate_h(h))
            gates, candidate = self.gru_x(x).split([2 * self.units, self.units], 1)
            update, reset = torch.sigmoid(gates + self.gru_h(h)).chunk(2, 1)
            h = update * h + (1 - update) * torch.tanh(candidate + self.gru_r(reset * h))
        return h


class HMAN(nn.Module):
    """Soft attention over locations in front of a hierarchical multi-scale LSTM (HM-AN, eq. 1-13)."""

    def __init__(self, locations, channels, units, layers=3, temperature=0.3):
        super().__init__()
        below = [channels] + [units] * (layers - 1)
        self.attention = nn.Linear(units, locations, bias=False)
        self.bottom_up = nn.ModuleList(nn.Linear(size, 4 * units + 1) for size in below)
        self.recurrent = nn.ModuleList(nn.Linear(units, 4 * units + 1, bias=False) for _ in below)
        self.top_down = nn.ModuleList(nn.Linear(units, 4 * units + 1, bias=False) for _ in below[1:])
        self.units, self.layers, self.temperature = units, layers, temperature

    def forward(self, clips):
        """The last states of all layers `(B, layers * units)` of clips `(B, T, locations, channels)`."""
        batch = len(clips)
        h = [clips.new_zeros(batch, self.units) for _ in range(self.layers)]
        c, z = list(h), [clips.new_zeros(batch, 1) for _ in range(self.layers)]
        for frame in clips.unbind(1):
            weights = torch.softmax(self.attention(h[0]), 1)
            below, z_below = (weights[:, None] @ frame)[:, 0], None
            before = list(h)
            for layer in range(self.layers):
                total = self.bottom_up[layer](below) + self.recurrent[layer](before[layer])
                if layer + 1 < self.layers:
                    total = total + self.top_down[layer](z[layer] * before[layer + 1])
                gates, new, logit = total.split([3 * self.units, self.units, 1], 1)
                i, f, o = torch.sigmoid(gates).chunk(3, 1)
                fresh, z_before = i * torch.tanh(new), z[layer]
                cell = fresh + f * c[layer]
                if z_below is not None:
                    cell = z_below * cell + (1 - z_below) * c[layer]
                c[layer] = z_before * fresh + (1 - z_before) * cell
                hidden = o * torch.tanh(c[layer])
                if z_below is not None:
                    runs = z_before + (1 - z_before) * z_below
                    hidden = runs * hidden + (1 - runs) * before[layer]
                h[layer] = hidden
                if self.training:
                    uniform = torch.rand_like(logit).clamp(1e-7, 1 - 1e-7)
                    logit = logit + torch.log(uniform) - torch.log1p(-uniform)
                soft = torch.sigmoid(logit / self.temperature)
                z[layer] = z_below = soft + ((logit >= 0).to(soft.dtype) - soft).detach()
                below = z_below * hidden
        return torch.cat(h, 1)


def training_step(network, outputs, x, y):
    """A function that makes one step of gradient descent on the squared error of a last linear layer."""
    model = nn.Sequential(network, nn.Linear(outputs, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def step():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()

    return step
